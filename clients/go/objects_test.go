package rs3gw_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

const mebibyte = 1 << 20

// noise is the same bytes for the same seed, and no two runs of them alike.
func noise(count int, seed byte) []byte {
	data := make([]byte, count)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func put(t *testing.T, client *rs3gw.Client, bucket, key string, data []byte) rs3gw.ObjectInfo {
	t.Helper()
	info, err := client.Put(context.Background(), bucket, key, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, client *rs3gw.Client, bucket, key string, asking ...func(*rs3gwpb.GetObjectRequest)) []byte {
	t.Helper()
	body, _, err := client.Get(context.Background(), bucket, key, asking...)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func same(t *testing.T, expected, got []byte) {
	t.Helper()
	if sha256.Sum256(expected) != sha256.Sum256(got) {
		t.Fatalf("%d bytes are not the %d that were expected", len(got), len(expected))
	}
}

func TestWhatIsPutIsWhatIsRead(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	for _, count := range []int{0, 1, 64 << 10, 3*mebibyte + 7} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			data := noise(count, 1)
			stored, err := client.Put(context.Background(), name, "a/ключ/🐍 +%", bytes.NewReader(data),
				rs3gw.ContentType("image/png"), rs3gw.Metadata(map[string]string{"camera": "left"}))
			if err != nil {
				t.Fatal(err)
			}
			body, info, err := client.Get(context.Background(), name, "a/ключ/🐍 +%")
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)

			if err != nil {
				t.Fatal(err)
			}
			same(t, data, got)
			if info.Size != int64(count) || info.ETag != stored.ETag || info.ContentType != "image/png" || info.Metadata["camera"] != "left" {
				t.Fatalf("%+v", info)
			}
		})
	}
}

func TestARangeIsReadOfTheWholeObjectsPlaceAndSize(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	data := noise(200_000, 2)
	put(t, client, name, "k", data)

	same(t, data[70_000:170_000], get(t, client, name, "k", rs3gw.Range(70_000, 100_000)))
	same(t, data[199_990:], get(t, client, name, "k", rs3gw.Range(199_990, -1)))
	body, info, err := client.Get(context.Background(), name, "k", rs3gw.Range(0, 1))
	if err != nil || info.Size != 200_000 {
		t.Fatal(info, err)
	}
	body.Close()
}

func TestARefusalIsAnErrorWithItsCodeAndFieldsAndRequest(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	_, _, streamed := client.Get(context.Background(), name, "nothing")
	_, asked := client.Head(context.Background(), name, "nothing")

	for _, err := range []error{streamed, asked} {
		var refusal *rs3gw.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("%#v", err)
		}
		if refusal.Code != "NoSuchKey" || refusal.Fields["Key"] != "nothing" || refusal.RequestID == "" || refusal.Message == "" {
			t.Fatalf("%#v", refusal)
		}
		if !errors.Is(err, rs3gw.ErrNoSuchKey) || errors.Is(err, rs3gw.ErrNoSuchBucket) || !rs3gw.IsNotFound(err) {
			t.Fatal(err)
		}
		if status.Code(err) != codes.NotFound {
			t.Fatal(status.Code(err))
		}
	}
}

func TestACallThatItsContextEndsSaysSo(t *testing.T) {
	client := dial(t, target)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.Head(ctx, "bucket", "k")

	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestASignatureIsAsGoodAsAToken(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	put(t, client, name, "k", []byte("signed"))
	signing, err := rs3gw.Dial(target, rs3gw.WithSigV4(accessKey, secretKey, "us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer signing.Close()

	same(t, []byte("signed"), get(t, signing, name, "k"))
	put(t, signing, name, "k", []byte("signed again"))
	same(t, []byte("signed again"), get(t, client, name, "k"))
}

func TestAnotherSecretIsRefused(t *testing.T) {
	for name, option := range map[string]rs3gw.Option{
		"InvalidToken":          rs3gw.WithBearer(accessKey, "another secret"),
		"SignatureDoesNotMatch": rs3gw.WithSigV4(accessKey, "another secret", "us-east-1"),
	} {
		client, err := rs3gw.Dial(target, option)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, err = client.Head(context.Background(), "bucket", "k")

		if !errors.Is(err, &rs3gw.Error{Code: name}) {
			t.Fatal(name, err)
		}
	}
}

func TestOneOfManyWritersThatWantTheKeyEmptyWins(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	failures := make(chan error, 8)
	for range cap(failures) {
		go func() {
			_, err := client.Put(context.Background(), name, "k", strings.NewReader("x"), rs3gw.IfAbsent())
			failures <- err
		}()
	}
	won := 0
	for range cap(failures) {
		err := <-failures
		if err == nil {
			won++
		} else if !errors.Is(err, rs3gw.ErrPreconditionFailed) && !errors.Is(err, &rs3gw.Error{Code: "ConditionalRequestConflict"}) {
			t.Fatal(err)
		}
	}

	if won != 1 {
		t.Fatal(won, "writers won")
	}
}

func TestAListingWalksAllPagesAndEndsWhereItsReaderDoes(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	expected := []string{"a", "b/1", "b/2", "c", "d", "é"}
	for _, key := range expected {
		put(t, client, name, key, []byte(key))
	}
	pages := func(request *rs3gwpb.ListObjectsRequest) { request.MaxKeys = proto.Int32(2) }
	rolled := func(request *rs3gwpb.ListObjectsRequest) { request.Delimiter = proto.String("/") }
	keys := func(asking ...func(*rs3gwpb.ListObjectsRequest)) []string {
		var keys []string
		for entry, err := range client.List(context.Background(), name, "", asking...) {
			if err != nil {
				t.Fatal(err)
			}
			if !entry.IsPrefix && (entry.Size != int64(len(entry.Key)) || entry.ETag == "" || entry.LastModified.IsZero()) {
				t.Fatalf("%+v", entry)
			}
			keys = append(keys, entry.Key)
		}
		return keys
	}

	if got := keys(pages); !slices.Equal(expected, got) {
		t.Fatal(got)
	}
	if got := keys(pages, rolled); !slices.Equal([]string{"a", "b/", "c", "d", "é"}, got) {
		t.Fatal(got)
	}
	for range client.List(context.Background(), name, "") {
		break
	}
	for _, err := range client.List(context.Background(), "no-such-bucket-here", "") {
		if !errors.Is(err, rs3gw.ErrNoSuchBucket) {
			t.Fatal(err)
		}
	}
}

func TestACopyHasTheBytesAndTheMetadataOfItsSource(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	_, err := client.Put(context.Background(), name, "from/ä ?#%2F", strings.NewReader("bytes"), rs3gw.Metadata(map[string]string{"a": "b"}))
	if err != nil {
		t.Fatal(err)
	}
	etag, err := client.Copy(context.Background(), name, "from/ä ?#%2F", name, "to")
	if err != nil {
		t.Fatal(err)
	}
	info, err := client.Head(context.Background(), name, "to")

	if err != nil || info.ETag != etag || info.Metadata["a"] != "b" || info.Size != 5 {
		t.Fatal(info, err)
	}
}

func TestWhatIsDeletedIsGoneAndMayBeDeletedAgain(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	put(t, client, name, "k", nil)
	if err := client.DeleteBucket(context.Background(), name); !errors.Is(err, rs3gw.ErrBucketNotEmpty) {
		t.Fatal(err)
	}

	for range 2 {
		if err := client.Delete(context.Background(), name, "k"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Head(context.Background(), name, "k"); !rs3gw.IsNotFound(err) {
		t.Fatal(err)
	}
	if err := client.DeleteBucket(context.Background(), name); err != nil {
		t.Fatal(err)
	}
}

func TestABodyThatCannotBeReadLeavesNothing(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	broken := errors.New("the disk went away")
	body := io.MultiReader(bytes.NewReader(noise(mebibyte, 3)), failing{broken})
	_, err := client.Put(context.Background(), name, "k", body)

	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := client.Head(context.Background(), name, "k"); !errors.Is(err, rs3gw.ErrNoSuchKey) {
		t.Fatal(err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
