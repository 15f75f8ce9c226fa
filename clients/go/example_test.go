package rs3gw_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// connected is a client of the gateway that the tests have started.
func connected() *rs3gw.Client {
	client, err := rs3gw.Dial(target, rs3gw.WithBearer(accessKey, secretKey))
	if err != nil {
		panic(err)
	}
	return client
}

// must panics: log.Fatal would end the tests and leave their gateway running.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func Example() {
	ctx := context.Background()
	client := connected()
	defer client.Close()
	_ = must(0, client.CreateBucket(ctx, "example-photos"))

	_ = must(client.Put(ctx, "example-photos", "2026/cat.txt", strings.NewReader("meow"), rs3gw.ContentType("text/plain")))
	body, info, err := client.Get(ctx, "example-photos", "2026/cat.txt")
	if err != nil {
		panic(err)
	}
	defer body.Close()
	data := must(io.ReadAll(body))

	fmt.Println(string(data), info.Size, info.ContentType)
	// Output: meow 4 text/plain
}

// A listing is a loop, and folders are what a delimiter makes of keys.
func ExampleClient_List() {
	ctx := context.Background()
	client := connected()
	defer client.Close()
	_ = must(0, client.CreateBucket(ctx, "example-list"))
	for _, key := range []string{"readme", "2025/a", "2025/b", "2026/c"} {
		_ = must(client.Put(ctx, "example-list", key, strings.NewReader("x")))
	}

	folders := func(request *rs3gwpb.ListObjectsRequest) { request.Delimiter = proto.String("/") }
	for entry, err := range client.List(ctx, "example-list", "", folders) {
		if err != nil {
			panic(err)
		}
		fmt.Println(entry.Key, entry.IsPrefix)
	}
	// Output:
	// 2025/ true
	// 2026/ true
	// readme false
}

// A large file goes up in parts and comes back in ranges, several at once.
func ExampleClient_Upload() {
	ctx := context.Background()
	client := connected()
	defer client.Close()
	_ = must(0, client.CreateBucket(ctx, "example-upload"))
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)

	stored := must(client.Upload(ctx, "example-upload", "large.bin", bytes.NewReader(content), int64(len(content))))
	file := must(os.CreateTemp("", "large-*.bin"))
	defer os.Remove(file.Name())
	defer file.Close()
	info := must(client.Download(ctx, "example-upload", "large.bin", file))

	fmt.Println(info.Size, info.ETag == stored.ETag)
	// Output: 16777216 true
}

func ExampleError() {
	client := connected()
	defer client.Close()

	_, err := client.Head(context.Background(), "no-such-bucket", "key")
	if refusal, ok := errors.AsType[*rs3gw.Error](err); ok {
		fmt.Println(refusal.Code, refusal.Fields["BucketName"])
	}
	fmt.Println(errors.Is(err, rs3gw.ErrNoSuchBucket), rs3gw.IsNotFound(err))
	// Output:
	// NoSuchBucket no-such-bucket
	// true true
}
