package rs3gw

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

type timestamp = timestamppb.Timestamp

// Range asks for so many bytes from offset on, or for all from there with a negative count.
//
// It panics with a count of 0: S3 has no range without bytes, and would answer one with the whole object.
func Range(offset, count int64) func(*rs3gwpb.GetObjectRequest) {
	asked := fmt.Sprintf("bytes=%d-", offset)
	if count == 0 {
		panic("rs3gw: a range of no bytes")
	}
	if count > 0 {
		asked = fmt.Sprintf("bytes=%d-%d", offset, offset+count-1)
	}
	return func(request *rs3gwpb.GetObjectRequest) { request.Range = proto.String(asked) }
}

// Get opens an object to be read; the reader must be closed.
//
// Where the connection breaks, the reader goes on at the byte where it broke, of the same object: one that was
// replaced meanwhile ends the reading with [ErrPreconditionFailed], and never mixes with the other.  A whole object is
// compared with its checksum at its end, which reads [ErrChecksum] in place of io.EOF where they differ.
func (c *Client) Get(
	ctx context.Context, bucket, key string, asking ...func(*rs3gwpb.GetObjectRequest),
) (io.ReadCloser, ObjectInfo, error) {
	request := &rs3gwpb.GetObjectRequest{Bucket: bucket, Key: key, ChecksumMode: proto.String("ENABLED")}
	for _, ask := range asking {
		ask(request)
	}
	ctx, cancel := context.WithCancel(ctx)
	reading := &reader{ctx: ctx, cancel: cancel, client: c, request: request}
	var first *rs3gwpb.GetObjectResponse
	err := c.retries.do(ctx, true, func() (err error) {
		first, err = reading.open()
		return err
	})
	if err != nil {
		cancel()
		return nil, ObjectInfo{}, err
	}
	at := placed(first)
	reading.next, reading.end = at.first, at.first+first.GetContentLength()
	if at.first == 0 && reading.end == at.size && first.GetChecksumType() == "FULL_OBJECT" {
		reading.checksums = first.GetChecksums()
	}
	reading.take(first)
	return reading, told(bucket, key, first), nil
}

// reader is the rest of an object: the bytes from next to end, of which data have come.
type reader struct {
	ctx       context.Context
	cancel    context.CancelFunc
	client    *Client
	request   *rs3gwpb.GetObjectRequest
	stream    rs3gwpb.ObjectService_GetObjectClient
	data      []byte
	next, end int64
	crc       uint64
	checksums *rs3gwpb.Checksums
	err       error
}

func (r *reader) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	for len(r.data) == 0 && r.err == nil {
		r.err = r.fill()
	}
	if len(r.data) == 0 {
		return 0, r.err
	}
	count := copy(into, r.data)
	r.data = r.data[count:]
	return count, nil
}

// Close ends the reading, wherever it is.
func (r *reader) Close() error {
	r.cancel()
	r.data, r.err = nil, errors.New("rs3gw: read of an object that was closed")
	return nil
}

// fill waits for the next message with bytes, on another stream where this one breaks.
func (r *reader) fill() error {
	if r.next == r.end {
		return r.finish()
	}
	return r.client.retries.do(r.ctx, true, func() error {
		message, err := r.receive()
		if err != nil {
			r.stream = nil
			return err
		}
		if int64(len(message.GetData())) > r.end-r.next {
			return fmt.Errorf("rs3gw: more than the %d bytes that were announced", r.end)
		}
		r.take(message)
		return nil
	})
}

// finish is io.EOF where all bytes have come and are the right ones.
func (r *reader) finish() error {
	if r.stream != nil {
		// What a gateway finds wrong with the last bytes it says after them.
		if _, err := r.stream.Recv(); err != io.EOF && !isLost(err) {
			return err
		}
	}
	if !agrees(r.checksums, r.crc) {
		return ErrChecksum
	}
	return io.EOF
}

func (r *reader) take(message *rs3gwpb.GetObjectResponse) {
	r.data = message.GetData()
	r.next += int64(len(r.data))
	if r.checksums != nil {
		r.crc = crc64.Update(r.crc, nvme, r.data)
	}
}

func (r *reader) receive() (*rs3gwpb.GetObjectResponse, error) {
	if r.stream == nil {
		return r.open()
	}
	message, err := r.stream.Recv()
	if err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	}
	return message, err
}

// open asks for the object, and makes the request the one for the rest of it.
func (r *reader) open() (*rs3gwpb.GetObjectResponse, error) {
	asked := r.request
	if r.end > 0 {
		asked = &rs3gwpb.GetObjectRequest{
			Bucket:              asked.Bucket,
			Key:                 asked.Key,
			VersionId:           asked.VersionId,
			IfMatch:             asked.IfMatch,
			Range:               proto.String(fmt.Sprintf("bytes=%d-%d", r.next, r.end-1)),
			ExpectedBucketOwner: asked.ExpectedBucketOwner,
		}
	}
	stream, err := r.client.Objects.GetObject(r.ctx, asked)
	if err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	r.stream, r.request.IfMatch = stream, first.Etag
	return first, nil
}

// place is where bytes stand in their object.
type place struct{ first, size int64 }

// placed reads a Content-Range, which the whole object does not have.
func placed(answer described) place {
	var at place
	var last int64
	if _, err := fmt.Sscanf(answer.GetContentRange(), "bytes %d-%d/%d", &at.first, &last, &at.size); err != nil {
		return place{size: answer.GetContentLength()}
	}
	return at
}
