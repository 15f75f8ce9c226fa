package rs3gw

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What callers ask for most; [errors.Is] compares the code alone.
var (
	ErrNoSuchKey          = &Error{Code: "NoSuchKey"}
	ErrNoSuchBucket       = &Error{Code: "NoSuchBucket"}
	ErrNoSuchUpload       = &Error{Code: "NoSuchUpload"}
	ErrBucketNotEmpty     = &Error{Code: "BucketNotEmpty"}
	ErrPreconditionFailed = &Error{Code: "PreconditionFailed"}
	ErrNotModified        = &Error{Code: "NotModified"}
	ErrInvalidRange       = &Error{Code: "InvalidRange"}
	ErrAccessDenied       = &Error{Code: "AccessDenied"}
	ErrSlowDown           = &Error{Code: "SlowDown"}
)

// ErrChecksum says that the bytes of a transfer are not those that the object's checksum was made of.
var ErrChecksum = errors.New("rs3gw: the bytes are not those that the checksum was made of")

// Error is a refusal: the gateway's, or one that gRPC made where the gateway was not heard.
type Error struct {
	// Code is S3's ("NoSuchKey"; docs/errors.md has them all), or empty where the gateway did not say one.
	Code string
	// Message is the sentence that goes with it.
	Message string
	// Fields are what the sentence is about, by S3's names: Key, BucketName, …
	Fields map[string]string
	// RequestID is what the gateway's log has the request under; empty where it was not heard.
	RequestID string

	status *status.Status
	cause  error
}

func (e *Error) Error() string {
	name := e.Code
	if name == "" {
		name = e.GRPCStatus().Code().String()
	}
	if e.RequestID == "" {
		return fmt.Sprintf("rs3gw: %s: %s", name, e.Message)
	}
	return fmt.Sprintf("rs3gw: %s: %s (request %s)", name, e.Message, e.RequestID)
}

// Is tells whether target is an error of the same code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && e.Code != "" && e.Code == other.Code
}

// Unwrap is context.Canceled or context.DeadlineExceeded where the caller's context ended the call.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus is the status as it came, for [status.Code] and its like.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(codes.Unknown, e.Message)
	}
	return e.status
}

// IsNotFound tells whether what was asked for (object, bucket, upload, …) is not there.
func IsNotFound(err error) bool { return status.Code(err) == codes.NotFound }

// fault makes an Error of what gRPC returned, and leaves nil and the end of a stream as they are.
func fault(err error, told ...metadata.MD) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if _, ok := err.(*Error); ok {
		return err
	}
	said := status.Convert(err)
	made := &Error{Message: said.Message(), status: said}
	for _, detail := range said.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "rs3gw" {
			made.Code, made.Fields = info.GetReason(), info.GetMetadata()
		}
	}
	for _, metadata := range told {
		if ids := metadata.Get("x-amz-request-id"); len(ids) > 0 {
			made.RequestID = ids[0]
		}
	}
	if made.Code == "" {
		switch said.Code() {
		case codes.Canceled:
			made.cause = context.Canceled
		case codes.DeadlineExceeded:
			made.cause = context.DeadlineExceeded
		}
	}
	return made
}

// isRefusedForNow tells whether the gateway itself said that it did nothing, and to come again.
func isRefusedForNow(err error) bool {
	made, ok := errors.AsType[*Error](err)
	return ok && (made.Code == "SlowDown" || made.Code == "ServiceUnavailable")
}

// isLost tells whether nobody knows what became of the call: there was no connection, or it broke.
func isLost(err error) bool {
	made, ok := errors.AsType[*Error](err)
	return ok && made.Code == "" && made.GRPCStatus().Code() == codes.Unavailable
}
