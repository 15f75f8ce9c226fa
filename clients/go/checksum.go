package rs3gw

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc64"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// nvmePolynomial is CRC-64/NVME's, bits reversed as hash/crc64 wants it: the checksum that an object has whose sender
// chose nothing.
const nvmePolynomial = 0x9a6c9329ac4bc9b5

var nvme = crc64.MakeTable(nvmePolynomial)

// agrees tells whether bytes of this CRC are those that the checksums tell of; true where they do not tell, as of an
// object whose sender chose another algorithm.
func agrees(told *rs3gwpb.Checksums, crc uint64) bool {
	if told.GetCrc64Nvme() == "" {
		return true
	}
	return told.GetCrc64Nvme() == encoded(crc)
}

// encoded is a CRC as the gateway writes it.
func encoded(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}

// joined is the CRC of two runs of bytes, one after the other, of which the second has so many bytes.
//
// Zero bytes after the first run are a multiplication by x^8 for each, modulo the polynomial.  Polynomials are bit
// vectors with the highest power in the lowest bit, as in the table.
func joined(first, second uint64, secondBytes int64) uint64 {
	power := uint64(1) << 63 // x^0
	for square := uint64(1) << (63 - 8); secondBytes > 0; secondBytes >>= 1 {
		if secondBytes&1 == 1 {
			power = product(power, square)
		}
		square = product(square, square)
	}
	return product(first, power) ^ second
}

// product multiplies modulo the polynomial.
func product(a, b uint64) uint64 {
	var sum uint64
	for bit := uint64(1) << 63; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			sum ^= b
		}
		// b times x: the bit that falls out is x^64, which the polynomial brings back in.
		if b&1 == 1 {
			b = b>>1 ^ nvmePolynomial
		} else {
			b >>= 1
		}
	}
	return sum
}
