package rs3gw_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

func create(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "object"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func content(t *testing.T, file *os.File) []byte {
	t.Helper()
	data, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func upload(t *testing.T, client *rs3gw.Client, bucket string, data []byte, asking ...func(*rs3gwpb.PutObjectRequest)) rs3gw.ObjectInfo {
	t.Helper()
	info, err := client.Upload(context.Background(), bucket, "k", bytes.NewReader(data), int64(len(data)), asking...)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// leftovers are the uploads of a bucket that somebody began and nobody ended.
func leftovers(t *testing.T, client *rs3gw.Client, bucket string) int {
	t.Helper()
	answer, err := client.Uploads.ListMultipartUploads(context.Background(), &rs3gwpb.ListMultipartUploadsRequest{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(answer.GetUploads())
}

func TestALargeObjectGoesInPartsAndComesInRanges(t *testing.T) {
	client := dial(t, target, rs3gw.WithParts(5*mebibyte, 3))
	name := bucket(t, client)
	data := noise(12*mebibyte+5, 4)
	stored := upload(t, client, name, data, rs3gw.ContentType("video/mp4"), rs3gw.Metadata(map[string]string{"a": "b"}))
	file := create(t)
	info, err := client.Download(context.Background(), name, "k", file)

	if err != nil {
		t.Fatal(err)
	}
	same(t, data, content(t, file))
	same(t, data, get(t, client, name, "k"))
	if !strings.HasSuffix(stored.ETag, `-3"`) || info.ETag != stored.ETag || info.Size != stored.Size {
		t.Fatal(stored, info)
	}
	if info.ContentType != "video/mp4" || info.Metadata["a"] != "b" {
		t.Fatal(info)
	}
}

func TestASmallObjectGoesInOneStream(t *testing.T) {
	client := dial(t, target)
	name := bucket(t, client)
	for _, count := range []int{0, 1, 8 * mebibyte} {
		stored := upload(t, client, name, noise(count, 5))
		file := create(t)
		_, err := client.Download(context.Background(), name, "k", file)

		if err != nil || strings.Contains(stored.ETag, "-") {
			t.Fatal(err, stored)
		}
		same(t, noise(count, 5), content(t, file))
	}
}

func TestAnUploadThatFailsIsGivenUp(t *testing.T) {
	client := dial(t, target, rs3gw.WithParts(5*mebibyte, 2))
	name := bucket(t, client)
	put(t, client, name, "k", []byte("first"))
	data := noise(11*mebibyte, 6)
	_, refused := client.Upload(context.Background(), name, "k", bytes.NewReader(data), int64(len(data)), rs3gw.IfAbsent())
	_, short := client.Upload(context.Background(), name, "k", bytes.NewReader(data), int64(len(data))+1)

	if !errors.Is(refused, rs3gw.ErrPreconditionFailed) || !errors.Is(short, io.ErrUnexpectedEOF) {
		t.Fatal(refused, short)
	}
	if count := leftovers(t, client, name); count != 0 {
		t.Fatal(count, "uploads are left")
	}
	same(t, []byte("first"), get(t, client, name, "k"))
}

func TestAnUploadThatItsCallerLeavesIsGivenUp(t *testing.T) {
	client := dial(t, target, rs3gw.WithParts(5*mebibyte, 1))
	name := bucket(t, client)
	ctx, cancel := context.WithCancel(context.Background())
	source := &leaving{ReaderAt: bytes.NewReader(noise(11*mebibyte, 7)), after: 6 * mebibyte, leave: cancel}
	_, err := client.Upload(ctx, name, "k", source, 11*mebibyte)

	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if count := leftovers(t, client, name); count != 0 {
		t.Fatal(count, "uploads are left")
	}
}

// leaving is a source whose reader leaves when it is asked for the bytes after some.
type leaving struct {
	io.ReaderAt
	after int64
	leave func()
}

func (l *leaving) ReadAt(into []byte, offset int64) (int, error) {
	if offset >= l.after {
		l.leave()
	}
	return l.ReaderAt.ReadAt(into, offset)
}
