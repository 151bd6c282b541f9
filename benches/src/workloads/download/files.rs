//! Files whose bytes depend on their offset.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::Options;

/// Returns eight bytes of a file: their number, mixed (splitmix64), so that a gap or a repeat
/// shows.
pub fn word(place: u64) -> [u8; 8] {
    let mut mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

pub fn folder(options: &Options) -> PathBuf {
    options.folder.join("files")
}

/// Returns the file of a size and creates it if needed.
pub fn file(options: &Options, size: u64) -> Result<PathBuf> {
    make(options, size)?;
    Ok(folder(options).join(size.to_string()))
}

/// Creates the file of a size if needed and loads it into the page cache.
pub fn make(options: &Options, size: u64) -> Result<()> {
    make_in(&folder(options), size)
}

/// Does the same in another folder.
pub fn make_in(folder: &Path, size: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(size.to_string());
    if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
        let mut file = BufWriter::new(File::create(&path)?);
        for place in 0..size.div_ceil(8) {
            let len = (size - place * 8).min(8) as usize;
            file.write_all(&word(place)[..len])?;
        }
        file.into_inner()?.sync_all()?;
    }
    warm(&path)
}

/// Reads a file into the page cache.
pub fn warm(path: &Path) -> Result<()> {
    io::copy(&mut File::open(path)?, &mut io::sink())?;
    Ok(())
}
