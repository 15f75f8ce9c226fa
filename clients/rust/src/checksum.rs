//! CRC-64/NVME: the checksum that an object has whose sender chose nothing.
//!
//! What is sent and what is read is compared with it, so that bytes that changed on their way are never taken for the
//! object's.

use base64::{Engine, prelude::BASE64_STANDARD};
use crc::{CRC_64_NVME, Crc, Table};

use crate::proto::Checksums;

type Nvme = Crc<u64, Table<16>>;

static NVME: Nvme = Nvme::new(&CRC_64_NVME);

/// The polynomial, bits reversed.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// The CRC of bytes that come one piece after the other.
pub(crate) struct Running {
    digest: crc::Digest<'static, u64, Table<16>>,
    pub(crate) bytes: u64,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { digest: NVME.digest(), bytes: 0 }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.digest.update(data);
        self.bytes += data.len() as u64;
    }

    pub(crate) fn finish(self) -> Content {
        Content { bytes: self.bytes, crc: self.digest.finalize() }
    }
}

/// A run of bytes: how many there are, and their CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: u64,
    pub(crate) crc: u64,
}

impl Content {
    pub(crate) const EMPTY: Self = Self { bytes: 0, crc: 0 };

    /// These bytes, and the others after them.
    pub(crate) fn followed_by(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, crc: joined(self.crc, other.crc, other.bytes) }
    }

    /// As the gateway writes the checksum.
    pub(crate) fn encoded(self) -> String {
        BASE64_STANDARD.encode(self.crc.to_be_bytes())
    }

    /// Whether these are the bytes that the checksums tell of; true where they do not tell, as of an object whose
    /// sender chose another algorithm.
    pub(crate) fn agrees_with(self, told: Option<&Checksums>) -> bool {
        told.and_then(|told| told.crc64nvme.as_ref()).is_none_or(|told| *told == self.encoded())
    }
}

/// The CRC of two runs of bytes, one after the other.
///
/// Zero bytes after the first run are a multiplication by x^8 for each, modulo the polynomial.  Polynomials are bit
/// vectors with the highest power in the lowest bit.
fn joined(first: u64, second: u64, mut second_bytes: u64) -> u64 {
    let mut power = 1 << 63; // x^0
    let mut square = 1 << (63 - 8);
    while second_bytes > 0 {
        if second_bytes & 1 == 1 {
            power = product(power, square);
        }
        square = product(square, square);
        second_bytes >>= 1;
    }
    product(first, power) ^ second
}

/// The product modulo the polynomial.
fn product(a: u64, mut b: u64) -> u64 {
    let mut sum = 0;
    for bit in (0..64).rev() {
        if a >> bit & 1 == 1 {
            sum ^= b;
        }
        // b times x: the bit that falls out is x^64, which the polynomial brings back in.
        b = if b & 1 == 1 { b >> 1 ^ POLYNOMIAL } else { b >> 1 };
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(data: &[u8]) -> Content {
        let mut running = Running::new();
        running.update(data);
        running.finish()
    }

    #[test]
    fn a_checksum_is_written_as_s3_writes_it() {
        // CRC-64/NVME's check value, ae8b14860a799888, in base64.
        assert_eq!("rosUhgp5mIg=", content(b"123456789").encoded());
    }

    #[test]
    fn the_checksum_of_a_whole_is_made_of_those_of_its_parts() {
        let whole: Vec<u8> = (0..70_000_u32).map(|number| (number * 31).to_be_bytes()[2]).collect();
        for at in [0, 1, 8, 4_096, 65_537, whole.len()] {
            let (first, second) = whole.split_at(at);

            assert_eq!(content(&whole), content(first).followed_by(content(second)), "cut at {at}");
        }
        assert_eq!(content(&whole), Content::EMPTY.followed_by(content(&whole)));
    }

    #[test]
    fn other_bytes_do_not_agree() {
        let told = Checksums { crc64nvme: Some(content(b"these").encoded()), ..Checksums::default() };

        assert!(content(b"these").agrees_with(Some(&told)));
        assert!(!content(b"those").agrees_with(Some(&told)));
        assert!(content(b"those").agrees_with(Some(&Checksums::default())));
    }
}
