package rs3gw

import (
	"context"
	"hash/crc64"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// How much content goes in one message of an upload: enough that the framing costs nothing, little enough that a
// gateway holds little of it.  The first messages are smaller, as most objects are small.
const (
	messageBytes      = 256 << 10
	firstMessageBytes = 16 << 10
)

// ContentType gives the object its media type.
func ContentType(mediaType string) func(*rs3gwpb.PutObjectRequest) {
	return func(request *rs3gwpb.PutObjectRequest) { request.ContentType = proto.String(mediaType) }
}

// Metadata gives the object the user's metadata: names in lower case, 2 KiB in all.
func Metadata(metadata map[string]string) func(*rs3gwpb.PutObjectRequest) {
	return func(request *rs3gwpb.PutObjectRequest) { request.Metadata = metadata }
}

// IfAbsent stores only where the key holds nothing, judged at the moment of writing: [ErrPreconditionFailed] else.
func IfAbsent() func(*rs3gwpb.PutObjectRequest) {
	return func(request *rs3gwpb.PutObjectRequest) { request.IfNoneMatch = proto.String("*") }
}

// Put stores what it reads as an object, whole or not at all, in one stream.
//
// It is tried again only if the body is an [io.Seeker], from where that stood.  What the gateway stored is compared
// with what was sent: [ErrChecksum] where they differ.  Use [Client.Upload] for what is large.
func (c *Client) Put(
	ctx context.Context, bucket, key string, body io.Reader, asking ...func(*rs3gwpb.PutObjectRequest),
) (ObjectInfo, error) {
	return c.put(ctx, putRequest(bucket, key, asking), body)
}

func putRequest(bucket, key string, asking []func(*rs3gwpb.PutObjectRequest)) *rs3gwpb.PutObjectRequest {
	request := &rs3gwpb.PutObjectRequest{Bucket: bucket, Key: key}
	for _, ask := range asking {
		ask(request)
	}
	return request
}

func (c *Client) put(ctx context.Context, request *rs3gwpb.PutObjectRequest, body io.Reader) (ObjectInfo, error) {
	var answer *rs3gwpb.PutObjectResponse
	var sent content
	isRepeatable := request.IfMatch == nil && request.IfNoneMatch == nil
	err := c.fromItsBeginning(ctx, isRepeatable, body, func(ctx context.Context) error {
		stream, err := c.Objects.PutObject(ctx)
		if err != nil {
			return err
		}
		first := true
		sent, err = send(body, func(data []byte) error {
			message := &rs3gwpb.PutObjectRequest{Bucket: request.Bucket, Key: request.Key}
			if first {
				message = proto.CloneOf(request)
				first = false
			}
			message.Data = data
			return stream.Send(message)
		})
		if err != nil {
			return err
		}
		answer, err = stream.CloseAndRecv()
		return sent.ifWhole(err)
	})
	if err != nil {
		return ObjectInfo{}, err
	}
	if !agrees(answer.GetChecksums(), sent.crc) {
		return ObjectInfo{}, ErrChecksum
	}
	return ObjectInfo{
		Bucket:       request.Bucket,
		Key:          request.Key,
		Size:         sent.bytes,
		ETag:         answer.GetEtag(),
		ContentType:  request.GetContentType(),
		Metadata:     request.GetMetadata(),
		Checksums:    answer.GetChecksums(),
		ChecksumType: answer.GetChecksumType(),
	}, nil
}

// content is what was sent of a body.
type content struct {
	bytes   int64
	crc     uint64
	isWhole bool
}

// ifWhole is how the stream of this content ended: one that took less than the body cannot have ended well.
func (c content) ifWhole(err error) error {
	if err == nil && !c.isWhole {
		return fault(status.Error(codes.Unavailable, "the stream was answered before the whole body was sent"))
	}
	return err
}

// send gives a body away a message at a time; an empty one is one message without data.
//
// A stream that the gateway ended early is no error here: the answer tells why.
func send(body io.Reader, give func([]byte) error) (content, error) {
	var sent content
	for {
		// A message may not be touched once it is sent, so every one has a buffer of its own.
		data := make([]byte, min(max(sent.bytes, firstMessageBytes), messageBytes))
		count, err := io.ReadFull(body, data)
		isLast := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !isLast {
			return sent, err
		}
		if count > 0 || sent.bytes == 0 {
			if err := give(data[:count]); err == io.EOF {
				return sent, nil
			} else if err != nil {
				return sent, err
			}
		}
		sent.bytes += int64(count)
		sent.crc = crc64.Update(sent.crc, nvme, data[:count])
		if isLast {
			sent.isWhole = true
			return sent, nil
		}
	}
}

// fromItsBeginning sends a body, and sends it again where that is allowed and the body can be read twice.
//
// The context that an attempt is given ends with it: an attempt that is given up leaves nothing behind.
func (c *Client) fromItsBeginning(ctx context.Context, isRepeatable bool, body io.Reader, attempt func(context.Context) error) error {
	once := func() error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return attempt(ctx)
	}
	seeker, ok := body.(io.Seeker)
	if !ok {
		return once()
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		// A pipe has the method, and cannot do it.
		return once()
	}
	return c.retries.do(ctx, isRepeatable, func() error {
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return err
		}
		return once()
	})
}
