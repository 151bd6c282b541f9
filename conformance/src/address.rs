//! Addresses of sockets, to and from Python's form.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use sendloop::Address;

use crate::errors::to_exception;

/// Converts a tuple of a numeric host and a port, or the name of a Unix socket.
pub fn from_python(address: &Bound<'_, PyAny>) -> PyResult<Address> {
    match address.cast::<PyTuple>() {
        Ok(tuple) => ip_from_python(tuple),
        Err(_) => unix_from_python(address),
    }
}

fn ip_from_python(tuple: &Bound<'_, PyTuple>) -> PyResult<Address> {
    let host: String = tuple.get_item(0)?.extract()?;
    let port: u16 = tuple.get_item(1)?.extract()?;
    let number_at = |index| match tuple.get_item(index) {
        Ok(number) => number.extract(),
        Err(_) => Ok(0u32),
    };
    let (flow_info, scope_id) = (number_at(2)?, number_at(3)?);
    let address = match host.parse() {
        Ok(IpAddr::V4(ip)) => SocketAddr::from((ip, port)),
        Ok(IpAddr::V6(ip)) => SocketAddrV6::new(ip, port, flow_info, scope_id).into(),
        Err(_) => return Err(PyTypeError::new_err(format!("{host} is not numeric"))),
    };
    Ok(address.into())
}

fn unix_from_python(name: &Bound<'_, PyAny>) -> PyResult<Address> {
    let bytes = match name.cast::<PyBytes>() {
        Ok(bytes) => bytes.as_bytes().to_vec(),
        Err(_) => name.extract::<OsString>()?.into_vec(),
    };
    let address = match bytes.as_slice() {
        [0, name @ ..] => UnixAddr::from_abstract_name(name),
        path => UnixAddr::from_pathname(OsStr::from_bytes(path)),
    };
    address.map(Address::from).map_err(|error| to_exception(name.py(), error))
}

/// Converts an address to what Python's `accept` and `recvfrom` return.
pub fn to_python(py: Python<'_>, address: &Address) -> PyResult<Py<PyAny>> {
    match address {
        Address::Ip(SocketAddr::V4(address)) => {
            (address.ip().to_string(), address.port()).into_py_any(py)
        }
        Address::Ip(SocketAddr::V6(address)) => {
            let ip = address.ip().to_string();
            (ip, address.port(), address.flowinfo(), address.scope_id()).into_py_any(py)
        }
        Address::Unix(address) => match address.as_abstract_name() {
            Some(name) => PyBytes::new(py, &[&[0], name].concat()).into_py_any(py),
            None => address.as_pathname().map_or("".as_ref(), Path::as_os_str).into_py_any(py),
        },
        // The kernel names no address if a TCP stream receives.
        _ => Ok(py.None()),
    }
}
