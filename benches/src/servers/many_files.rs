//! A site of many different files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::content;

/// Each file has another size, which is also its name.
pub struct ManyFiles {
    pub folder: PathBuf,
}

impl ManyFiles {
    pub const SMALLEST: u64 = 600;
    const COUNT: u64 = 10_000;
    /// The next file is larger by this, and the largest has about 100 KB.
    const STEP: u64 = 10;
    const FOLDERS: u64 = 100;

    pub fn create(folder: &Path) -> Result<ManyFiles> {
        for number in 0..Self::FOLDERS {
            fs::create_dir_all(folder.join(number.to_string()))?;
        }
        let folder = folder.canonicalize()?;
        let files = ManyFiles { folder };
        for size in files.sizes() {
            let path = files.folder.join(Self::path(size));
            if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
                fs::write(path, content(0, size))?;
            }
        }
        Ok(files)
    }

    pub fn sizes(&self) -> impl Iterator<Item = u64> + use<> {
        (0..Self::COUNT).map(Self::size)
    }

    fn size(number: u64) -> u64 {
        Self::SMALLEST + number * Self::STEP
    }

    /// The path below the root of the file of a size.
    pub fn path(size: u64) -> String {
        let number = (size - Self::SMALLEST) / Self::STEP;
        format!("{}/{size}", number % Self::FOLDERS)
    }

    /// Draws the size of any file.
    pub fn any(&self, random: &mut u64) -> u64 {
        Self::size(draw(random) % Self::COUNT)
    }

    /// Draws one of 1 % of the files in 90 % of the cases, and any file in the others. The few
    /// have all sizes.
    pub fn mostly_few(&self, random: &mut u64) -> u64 {
        match draw(random) % 10 {
            0 => self.any(random),
            _ => Self::size(draw(random) % (Self::COUNT / 100) * 100),
        }
    }
}

/// Returns the next of a sequence of pseudo-random numbers (xorshift).
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}
