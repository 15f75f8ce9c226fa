// Command rs3gw-interop is this client for those that compare it with others: it puts, gets and lists, and says what
// it saw in lines of JSON.
//
//	rs3gw-interop put BUCKET KEY FILE [NAME=VALUE …]
//	rs3gw-interop get BUCKET KEY FILE
//	rs3gw-interop list BUCKET PREFIX
//
// RS3GW_TEST_GRPC is the gateway, "host:port"; RS3GW_TEST_ACCESS_KEY and RS3GW_TEST_SECRET_KEY are whose calls these
// are.  NAME=VALUE is metadata of the user's.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
)

const usage = "rs3gw-interop put BUCKET KEY FILE [NAME=VALUE …] | get BUCKET KEY FILE | list BUCKET PREFIX"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, asked []string) error {
	client, err := rs3gw.Dial(
		os.Getenv("RS3GW_TEST_GRPC"),
		rs3gw.WithBearer(os.Getenv("RS3GW_TEST_ACCESS_KEY"), os.Getenv("RS3GW_TEST_SECRET_KEY")),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case len(asked) >= 4 && asked[0] == "put":
		return put(ctx, client, asked[1], asked[2], asked[3], asked[4:])
	case len(asked) == 4 && asked[0] == "get":
		return get(ctx, client, asked[1], asked[2], asked[3])
	case len(asked) == 3 && asked[0] == "list":
		return list(ctx, client, asked[1], asked[2])
	}
	return errors.New(usage)
}

func put(ctx context.Context, client *rs3gw.Client, bucket, key, path string, pairs []string) error {
	metadata := make(map[string]string)
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return errors.New(usage)
		}
		metadata[name] = value
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	known, err := file.Stat()
	if err != nil {
		return err
	}
	info, err := client.Upload(ctx, bucket, key, file, known.Size(), rs3gw.Metadata(metadata))
	if err != nil {
		return err
	}
	return say(map[string]any{"etag": info.ETag})
}

func get(ctx context.Context, client *rs3gw.Client, bucket, key, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := client.Download(ctx, bucket, key, file)
	if err != nil {
		return err
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(file, 0, info.Size)); err != nil {
		return err
	}
	return say(map[string]any{"sha256": hex.EncodeToString(digest.Sum(nil)), "etag": info.ETag, "metadata": info.Metadata})
}

func list(ctx context.Context, client *rs3gw.Client, bucket, prefix string) error {
	for entry, err := range client.List(ctx, bucket, prefix) {
		if err != nil {
			return err
		}
		if err := say(map[string]any{"key": entry.Key, "size": entry.Size, "etag": entry.ETag}); err != nil {
			return err
		}
	}
	return nil
}

func say(line map[string]any) error { return json.NewEncoder(os.Stdout).Encode(line) }
