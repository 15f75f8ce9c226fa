package rs3gw

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

type retries struct {
	attempts   int
	base, most time.Duration
}

// do calls until it succeeds, is refused for good, or has been tried often enough.
//
// isRepeatable says that the call done twice is the call done once: without it, a call whose answer was lost is not
// repeated, as the repetition would be refused for what the first did.
func (r retries) do(ctx context.Context, isRepeatable bool, call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		again := isRefusedForNow(err) || isRepeatable && isLost(err)
		if !again || attempt >= r.attempts || !r.wait(ctx, attempt) {
			return err
		}
	}
}

// wait sleeps before the attempt after this one, and tells whether the context still stands.
//
// It is anything up to a time that doubles: many clients that were refused together shall not come back together.
func (r retries) wait(ctx context.Context, attempt int) bool {
	longest := min(r.most, r.base<<min(attempt-1, 16))
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// unary makes an Error of every refusal, and repeats what may be repeated.
func (r retries) unary(
	ctx context.Context, method string, request, answer any, on *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	return r.do(ctx, isRepeatable(request), func() error {
		var header, trailer metadata.MD
		err := invoke(ctx, method, request, answer, on, append(options[:len(options):len(options)], grpc.Header(&header), grpc.Trailer(&trailer))...)
		return fault(err, header, trailer)
	})
}

// isRepeatable is false for what the second time would be refused for what the first time did.  CreateBucket of one's
// own bucket and CompleteMultipartUpload answer the second time as they did the first.
func isRepeatable(request any) bool {
	switch asked := request.(type) {
	case *rs3gwpb.DeleteBucketRequest, *rs3gwpb.AbortMultipartUploadRequest:
		return false
	case *rs3gwpb.DeleteObjectRequest:
		return asked.IfMatch == nil
	case *rs3gwpb.CopyObjectRequest:
		return asked.IfMatch == nil && asked.IfNoneMatch == nil
	}
	return true
}

// stream makes an Error of every refusal; what to repeat is decided where the bytes come from.
func stream(
	ctx context.Context, what *grpc.StreamDesc, on *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	opened, err := open(ctx, what, on, method, options...)
	if err != nil {
		return nil, fault(err)
	}
	return faulty{opened}, nil
}

type faulty struct{ grpc.ClientStream }

func (f faulty) RecvMsg(message any) error {
	err := f.ClientStream.RecvMsg(message)
	if err == nil {
		return nil
	}
	// Both are there without waiting once a stream has ended.
	header, _ := f.Header()
	return fault(err, header, f.Trailer())
}

func (f faulty) SendMsg(message any) error { return fault(f.ClientStream.SendMsg(message)) }
