package rs3gw

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// S3's limits: a part that is not the last is no smaller, and an upload has no more of them.
const (
	minPartBytes = 5 << 20
	maxParts     = 10_000
)

// abortSeconds is how long an upload that failed may take to be given up.
const abortSeconds = 10

// Upload stores so many bytes of the source as an object: in parts, many at once, each tried again by itself where the
// connection breaks; what is no larger than a part in one stream.
//
// The object is there whole or not at all; an upload that fails is aborted.  Options are those of [Client.Put], but for
// digests: it makes its own, of each part and of the whole.
func (c *Client) Upload(
	ctx context.Context, bucket, key string, source io.ReaderAt, size int64, asking ...func(*rs3gwpb.PutObjectRequest),
) (ObjectInfo, error) {
	request := putRequest(bucket, key, asking)
	if request.ContentMd5 != nil || request.ChecksumAlgorithm != nil || request.Checksums != nil {
		return ObjectInfo{}, errors.New("rs3gw: Upload makes the checksums itself; give others to Put")
	}
	if size <= c.partBytes {
		return c.put(ctx, request, io.NewSectionReader(source, 0, size))
	}
	begun, err := c.Uploads.CreateMultipartUpload(ctx, begin(request))
	if err != nil {
		return ObjectInfo{}, err
	}
	info, err := c.complete(ctx, request, begun.GetUploadId(), source, size)
	if err != nil {
		// The caller's context may be what ended it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortSeconds*time.Second)
		defer cancel()
		abort := &rs3gwpb.AbortMultipartUploadRequest{Bucket: bucket, Key: key, UploadId: begun.GetUploadId()}
		_, _ = c.Uploads.AbortMultipartUpload(ctx, abort) // what failed first is what the caller must hear
	}
	return info, err
}

// begin is what a request to put says when the upload begins; its conditions come when it is completed.
func begin(request *rs3gwpb.PutObjectRequest) *rs3gwpb.CreateMultipartUploadRequest {
	return &rs3gwpb.CreateMultipartUploadRequest{
		Bucket:                  request.Bucket,
		Key:                     request.Key,
		ContentType:             request.ContentType,
		Metadata:                request.Metadata,
		CacheControl:            request.CacheControl,
		ContentDisposition:      request.ContentDisposition,
		ContentEncoding:         request.ContentEncoding,
		ContentLanguage:         request.ContentLanguage,
		Expires:                 request.Expires,
		WebsiteRedirectLocation: request.WebsiteRedirectLocation,
		Tagging:                 request.Tagging,
		StorageClass:            request.StorageClass,
		Acl:                     request.Acl,
		ExpectedBucketOwner:     request.ExpectedBucketOwner,
	}
}

func (c *Client) complete(
	ctx context.Context, request *rs3gwpb.PutObjectRequest, upload string, source io.ReaderAt, size int64,
) (ObjectInfo, error) {
	pieces := cut(size, max(c.partBytes, (size+maxParts-1)/maxParts))
	parts := make([]*rs3gwpb.CompletedPart, len(pieces))
	crcs := make([]uint64, len(pieces))
	err := c.each(ctx, pieces, func(ctx context.Context, number int, piece piece) error {
		first := &rs3gwpb.UploadPartRequest{
			Bucket: request.Bucket, Key: request.Key, UploadId: upload, PartNumber: int32(number + 1),
			ExpectedBucketOwner: request.ExpectedBucketOwner,
		}
		etag, crc, err := c.uploadPart(ctx, first, io.NewSectionReader(source, piece.offset, piece.bytes), piece.bytes)
		parts[number] = &rs3gwpb.CompletedPart{PartNumber: proto.Int32(first.PartNumber), Etag: proto.String(etag)}
		crcs[number] = crc
		return err
	})
	if err != nil {
		return ObjectInfo{}, err
	}
	answer, err := c.Uploads.CompleteMultipartUpload(ctx, &rs3gwpb.CompleteMultipartUploadRequest{
		Bucket: request.Bucket, Key: request.Key, UploadId: upload, Parts: parts,
		Checksums:           &rs3gwpb.Checksums{Crc64Nvme: proto.String(encoded(whole(pieces, crcs)))},
		MpuObjectSize:       proto.Int64(size),
		IfMatch:             request.IfMatch,
		IfNoneMatch:         request.IfNoneMatch,
		ExpectedBucketOwner: request.ExpectedBucketOwner,
	})
	if err != nil {
		return ObjectInfo{}, err
	}
	return ObjectInfo{
		Bucket: request.Bucket, Key: request.Key, Size: size, ETag: answer.GetEtag(),
		ContentType: request.GetContentType(), Metadata: request.GetMetadata(),
		Checksums: answer.GetChecksums(), ChecksumType: answer.GetChecksumType(),
	}, nil
}

// uploadPart stores one part, and answers its ETag and the CRC of what was sent.
func (c *Client) uploadPart(ctx context.Context, first *rs3gwpb.UploadPartRequest, body io.ReadSeeker, size int64) (string, uint64, error) {
	var answer *rs3gwpb.UploadPartResponse
	var sent content
	err := c.fromItsBeginning(ctx, true, body, func(ctx context.Context) error {
		stream, err := c.Uploads.UploadPart(ctx)
		if err != nil {
			return err
		}
		sent, err = send(body, func(data []byte) error {
			message := proto.CloneOf(first)
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
		return "", 0, err
	}
	if sent.bytes != size {
		return "", 0, io.ErrUnexpectedEOF
	}
	if !agrees(answer.GetChecksums(), sent.crc) {
		return "", 0, ErrChecksum
	}
	return answer.GetEtag(), sent.crc, nil
}

// Download writes an object, in ranges, many at once, each going on where its connection broke.
//
// All ranges are of the one object that stood there when it began: [ErrPreconditionFailed] where it is replaced
// meanwhile.  The whole is compared with the object's checksum at the end: [ErrChecksum] where they differ, and then,
// as after any other error, what was written is worth nothing.
func (c *Client) Download(ctx context.Context, bucket, key string, into io.WriterAt) (ObjectInfo, error) {
	info, err := c.Head(ctx, bucket, key)
	if err != nil {
		return ObjectInfo{}, err
	}
	pieces := cut(info.Size, c.partBytes)
	crcs := make([]uint64, len(pieces))
	err = c.each(ctx, pieces, func(ctx context.Context, number int, piece piece) error {
		var err error
		crcs[number], err = c.downloadPart(ctx, info, piece, io.NewOffsetWriter(into, piece.offset))
		return err
	})
	if err != nil {
		return ObjectInfo{}, err
	}
	if info.ChecksumType == "FULL_OBJECT" && !agrees(info.Checksums, whole(pieces, crcs)) {
		return ObjectInfo{}, ErrChecksum
	}
	return info, nil
}

func (c *Client) downloadPart(ctx context.Context, info ObjectInfo, piece piece, into io.Writer) (uint64, error) {
	ofThis := func(request *rs3gwpb.GetObjectRequest) { request.IfMatch = proto.String(info.ETag) }
	body, _, err := c.Get(ctx, info.Bucket, info.Key, Range(piece.offset, piece.bytes), ofThis)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	hash := crc64.New(nvme)
	count, err := io.CopyBuffer(io.MultiWriter(into, hash), body, make([]byte, messageBytes))
	if err == nil && count != piece.bytes {
		err = fmt.Errorf("rs3gw: %d bytes of a range of %d", count, piece.bytes)
	}
	return hash.Sum64(), err
}

// piece is a run of an object's bytes that is moved by itself.
type piece struct{ offset, bytes int64 }

// cut makes pieces of so many bytes, of which the last has what is left.
func cut(size, pieceBytes int64) []piece {
	var pieces []piece
	for offset := int64(0); offset < size; offset += pieceBytes {
		pieces = append(pieces, piece{offset: offset, bytes: min(pieceBytes, size-offset)})
	}
	return pieces
}

// each moves the pieces, as many at once as the client may, until all are moved or one fails.
func (c *Client) each(ctx context.Context, pieces []piece, move func(context.Context, int, piece) error) error {
	group, moving := errgroup.WithContext(ctx)
	group.SetLimit(c.parallel)
	for number, piece := range pieces {
		group.Go(func() error {
			if err := moving.Err(); err != nil {
				return err
			}
			return move(moving, number, piece)
		})
	}
	return group.Wait()
}

// whole is the CRC of all pieces, in their order.
func whole(pieces []piece, crcs []uint64) uint64 {
	var crc uint64
	for number, piece := range pieces {
		crc = joined(crc, crcs[number], piece.bytes)
	}
	return crc
}
