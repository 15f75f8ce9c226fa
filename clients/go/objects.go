package rs3gw

import (
	"context"
	"iter"
	"net/url"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// ObjectInfo is what is known of an object beside its bytes.
type ObjectInfo struct {
	Bucket, Key string
	// Size is how many bytes the object has, of which a range may be a few.
	Size int64
	// ETag is in double quotes, as S3 has it and as conditions take it.
	ETag         string
	LastModified time.Time
	ContentType  string
	// Metadata is the user's: names are in lower case.
	Metadata map[string]string
	// Checksums are base64, by algorithm; nil for a range.
	Checksums *rs3gwpb.Checksums
	// ChecksumType is FULL_OBJECT or COMPOSITE.
	ChecksumType string
}

// Entry is an object in a listing, or a prefix that a delimiter rolled many up to.
type Entry struct {
	// Key is the object's, or the prefix.
	Key string
	// IsPrefix says that there are objects whose keys begin with Key, and nothing else of them.
	IsPrefix     bool
	Size         int64
	ETag         string
	LastModified time.Time
}

// Head tells what is known of an object, without its bytes.
func (c *Client) Head(ctx context.Context, bucket, key string, asking ...func(*rs3gwpb.HeadObjectRequest)) (ObjectInfo, error) {
	request := &rs3gwpb.HeadObjectRequest{Bucket: bucket, Key: key, ChecksumMode: proto.String("ENABLED")}
	for _, ask := range asking {
		ask(request)
	}
	answer, err := c.Objects.HeadObject(ctx, request)
	if err != nil {
		return ObjectInfo{}, err
	}
	return told(bucket, key, answer), nil
}

// described is what the answers to GetObject and HeadObject have in common.
type described interface {
	GetContentLength() int64
	GetContentRange() string
	GetEtag() string
	GetLastModified() *timestamp
	GetContentType() string
	GetMetadata() map[string]string
	GetChecksums() *rs3gwpb.Checksums
	GetChecksumType() string
}

func told(bucket, key string, answer described) ObjectInfo {
	return ObjectInfo{
		Bucket:       bucket,
		Key:          key,
		Size:         placed(answer).size,
		ETag:         answer.GetEtag(),
		LastModified: answer.GetLastModified().AsTime(),
		ContentType:  answer.GetContentType(),
		Metadata:     answer.GetMetadata(),
		Checksums:    answer.GetChecksums(),
		ChecksumType: answer.GetChecksumType(),
	}
}

// Delete removes an object; one that is not there is as good as removed.
func (c *Client) Delete(ctx context.Context, bucket, key string, asking ...func(*rs3gwpb.DeleteObjectRequest)) error {
	request := &rs3gwpb.DeleteObjectRequest{Bucket: bucket, Key: key}
	for _, ask := range asking {
		ask(request)
	}
	_, err := c.Objects.DeleteObject(ctx, request)
	return err
}

// Copy makes an object of another one, without its bytes passing through here, and returns the ETag of the copy.
//
// The media type, the metadata and the tags go with it unless the request's directives say otherwise.
func (c *Client) Copy(
	ctx context.Context, sourceBucket, sourceKey, bucket, key string, asking ...func(*rs3gwpb.CopyObjectRequest),
) (string, error) {
	request := &rs3gwpb.CopyObjectRequest{Bucket: bucket, Key: key, CopySource: url.PathEscape(sourceBucket) + "/" + url.PathEscape(sourceKey)}
	for _, ask := range asking {
		ask(request)
	}
	answer, err := c.Objects.CopyObject(ctx, request)
	return answer.GetEtag(), err
}

// List walks the objects whose keys begin with prefix, in the order of their keys' UTF-8 bytes.
//
// It asks for a page when the one before has been walked, and ends after the first error.
//
//	for entry, err := range client.List(ctx, "photos", "2026/") { … }
func (c *Client) List(ctx context.Context, bucket, prefix string, asking ...func(*rs3gwpb.ListObjectsRequest)) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		request := &rs3gwpb.ListObjectsRequest{Bucket: bucket, Prefix: proto.String(prefix)}
		for _, ask := range asking {
			ask(request)
		}
		for {
			page, err := c.Objects.ListObjects(ctx, request)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for entry := range merged(page) {
				if !yield(entry, nil) {
					return
				}
			}
			if !page.GetIsTruncated() {
				return
			}
			request.ContinuationToken = page.NextContinuationToken
		}
	}
}

// merged is a page's objects and prefixes in one order, as they were in the walk that the page was cut from.
func merged(page *rs3gwpb.ListObjectsResponse) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		objects, prefixes := page.GetContents(), page.GetCommonPrefixes()
		for len(objects)+len(prefixes) > 0 {
			var next Entry
			if len(objects) == 0 || len(prefixes) > 0 && prefixes[0].GetPrefix() < objects[0].GetKey() {
				next = Entry{Key: prefixes[0].GetPrefix(), IsPrefix: true}
				prefixes = prefixes[1:]
			} else {
				object := objects[0]
				next = Entry{Key: object.GetKey(), Size: object.GetSize(), ETag: object.GetEtag(), LastModified: object.GetLastModified().AsTime()}
				objects = objects[1:]
			}
			if !yield(next) {
				return
			}
		}
	}
}

// CreateBucket makes a bucket; one that is the caller's already is as good as made.
func (c *Client) CreateBucket(ctx context.Context, bucket string) error {
	_, err := c.Buckets.CreateBucket(ctx, &rs3gwpb.CreateBucketRequest{Bucket: bucket})
	return err
}

// DeleteBucket removes a bucket that holds nothing.
func (c *Client) DeleteBucket(ctx context.Context, bucket string) error {
	_, err := c.Buckets.DeleteBucket(ctx, &rs3gwpb.DeleteBucketRequest{Bucket: bucket})
	return err
}
