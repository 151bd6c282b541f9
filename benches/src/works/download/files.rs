//! Files whose bytes say where they belong.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;

use crate::Options;

/// The eight bytes at a multiple of eight: the place, mixed (splitmix64), so that a gap or a repetition shows.
pub fn word(place: u64) -> [u8; 8] {
    let mut mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

pub fn folder(options: &Options) -> PathBuf {
    options.folder.join("files")
}

/// Makes the file of a size, a multiple of eight, where it is not there yet, and has it in the page cache.
pub fn make(options: &Options, size: u64) -> Result<()> {
    let folder = folder(options);
    fs::create_dir_all(&folder)?;
    let path = folder.join(size.to_string());
    if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
        let mut file = BufWriter::new(File::create(&path)?);
        for place in 0..size / 8 {
            file.write_all(&word(place))?;
        }
        file.into_inner()?.sync_all()?;
    }
    io::copy(&mut File::open(path)?, &mut io::sink())?;
    Ok(())
}
