// Command dataset trains on nothing: it makes a data set of shards in a bucket, and reads epochs of it as a training
// job would, in another order each time, many shards at once, every record exactly once.
//
//	RS3GW_ACCESS_KEY=… RS3GW_SECRET_KEY=… go run ./examples/dataset -target localhost:50051 -bucket dataset
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
)

// A record is its number and then noise, as a sample is its label and then pixels.
const recordBytes = 4096

func main() {
	target := flag.String("target", "localhost:50051", "the gateway's gRPC address")
	bucket := flag.String("bucket", "dataset", "the bucket, made where there is none")
	shards := flag.Int("shards", 8, "how many shards the data set has")
	records := flag.Int("records", 1024, "how many records a shard has")
	epochs := flag.Int("epochs", 2, "how often to read it all")
	readers := flag.Int("readers", 4, "how many shards to read at once")
	flag.Parse()
	client, err := rs3gw.Dial(*target, rs3gw.WithBearer(os.Getenv("RS3GW_ACCESS_KEY"), os.Getenv("RS3GW_SECRET_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := store(ctx, client, *bucket, *shards, *records); err != nil {
		log.Fatal(err)
	}
	for number := range *epochs {
		began := time.Now()
		count, err := epoch(ctx, client, *bucket, *readers)
		if err != nil {
			log.Fatal(err)
		}
		took := time.Since(began)
		mebibytes := float64(count) * recordBytes / (1 << 20)
		fmt.Printf("epoch %d: %d records, %.0f MiB in %.2f s (%.0f MiB/s)\n", number, count, mebibytes, took.Seconds(), mebibytes/took.Seconds())
	}
}

// store makes the shards that are not there yet: a job that is started again finds those that it made before.
func store(ctx context.Context, client *rs3gw.Client, bucket string, shards, records int) error {
	if err := client.CreateBucket(ctx, bucket); err != nil {
		return err
	}
	for number := range shards {
		data := shard(number, records)
		key := fmt.Sprintf("train/%05d.bin", number)
		_, err := client.Upload(ctx, bucket, key, bytes.NewReader(data), int64(len(data)), rs3gw.IfAbsent())
		if err != nil && !errors.Is(err, rs3gw.ErrPreconditionFailed) {
			return err
		}
	}
	return nil
}

func shard(number, records int) []byte {
	data := make([]byte, records*recordBytes)
	_, _ = rand.NewChaCha8([32]byte{byte(number)}).Read(data)
	for record := range records {
		binary.BigEndian.PutUint64(data[record*recordBytes:], uint64(number*records+record))
	}
	return data
}

// epoch reads every record of every shard once, and says how many there were.
func epoch(ctx context.Context, client *rs3gw.Client, bucket string, readers int) (int, error) {
	var keys []string
	for entry, err := range client.List(ctx, bucket, "train/") {
		if err != nil {
			return 0, err
		}
		keys = append(keys, entry.Key)
	}
	rand.Shuffle(len(keys), func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })

	numbers := make(chan uint64, 1024)
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(readers)
	go func() {
		for _, key := range keys {
			reading.Go(func() error { return read(ctx, client, bucket, key, numbers) })
		}
		_ = reading.Wait() // told below
		close(numbers)
	}()
	seen := make(map[uint64]bool)
	for number := range numbers {
		if seen[number] {
			return 0, fmt.Errorf("record %d came twice", number)
		}
		seen[number] = true
	}
	return len(seen), reading.Wait()
}

// read streams a shard: a record is used when it has come, and the shard is never held whole.
func read(ctx context.Context, client *rs3gw.Client, bucket, key string, numbers chan<- uint64) error {
	body, _, err := client.Get(ctx, bucket, key)
	if err != nil {
		return err
	}
	defer body.Close()
	record := make([]byte, recordBytes)
	for {
		if _, err := io.ReadFull(body, record); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case numbers <- binary.BigEndian.Uint64(record):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
