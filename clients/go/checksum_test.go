package rs3gw

import (
	"hash/crc64"
	"testing"
	"time"
)

func TestTheChecksumIsTheOneOfTheCatalogue(t *testing.T) {
	// The check value of CRC-64/NVME, https://reveng.sourceforge.io/crc-catalogue/all.htm
	if crc := crc64.Checksum([]byte("123456789"), nvme); crc != 0xae8b14860a799888 {
		t.Fatalf("%x", crc)
	}
}

func TestTheChecksumOfTwoRunsIsThatOfOne(t *testing.T) {
	data := make([]byte, 100_003)
	for place := range data {
		data[place] = byte(place * place >> 3)
	}
	for _, cut := range []int{0, 1, 8, 4096, 65_537, len(data)} {
		first, second := crc64.Checksum(data[:cut], nvme), crc64.Checksum(data[cut:], nvme)

		if crc := joined(first, second, int64(len(data)-cut)); crc != crc64.Checksum(data, nvme) {
			t.Fatalf("%x at %d", crc, cut)
		}
	}
}

func TestAPieceIsNeverEmptyAndTheLastHasTheRest(t *testing.T) {
	if pieces := cut(0, 5); len(pieces) != 0 {
		t.Fatal(pieces)
	}
	if pieces := cut(10, 5); len(pieces) != 2 || pieces[1] != (piece{offset: 5, bytes: 5}) {
		t.Fatal(pieces)
	}
	if pieces := cut(11, 5); len(pieces) != 3 || pieces[2] != (piece{offset: 10, bytes: 1}) {
		t.Fatal(pieces)
	}
}

func TestWhatWasRefusedTogetherDoesNotComeBackTogether(t *testing.T) {
	spread := make(map[time.Duration]bool)
	tries := retries{base: 8 * time.Millisecond, most: 16 * time.Millisecond}
	for range 4 {
		began := time.Now()
		if !tries.wait(t.Context(), 30) {
			t.Fatal("the context ended")
		}
		took := time.Since(began)
		spread[took.Round(100*time.Microsecond)] = true
	}

	if len(spread) == 1 {
		t.Fatal(spread)
	}
}
