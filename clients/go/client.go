package rs3gw

import (
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

// S3 takes parts from 5 MiB on; 8 MiB in four streams keep a connection busy and 32 MiB of nobody's memory, as parts
// are read from the source when they are sent.
const (
	defaultPartBytes = 8 << 20
	defaultParallel  = 4
	// Some five seconds of waiting in all: what it takes to start a gateway again.
	defaultAttempts = 8
)

// maxMessageBytes is the largest RS3GW_GRPC_CHUNK_SIZE that a gateway may be told to send, and then some for the rest.
const maxMessageBytes = 65 << 20

// Client is a connection to a gateway.  It may be used by many goroutines at once.
type Client struct {
	// Buckets are the calls of s3.BucketService as they are on the wire.
	Buckets rs3gwpb.BucketServiceClient
	// Objects are the calls of s3.ObjectService as they are on the wire.
	Objects rs3gwpb.ObjectServiceClient
	// Uploads are the calls of s3.MultipartService as they are on the wire.
	Uploads rs3gwpb.MultipartServiceClient

	connection *grpc.ClientConn
	settings
}

type settings struct {
	perRPC    credentials.PerRPCCredentials
	transport credentials.TransportCredentials
	partBytes int64
	parallel  int
	retries   retries
}

// Option says how Dial connects.
type Option func(*settings)

// WithBearer shows the token of an access key, as `rs3gw token` prints it, with every call.
//
// The token is as good as the secret that made it until the secret changes: off loopback, send it over TLS.
func WithBearer(accessKey, secretKey string) Option {
	return func(s *settings) { s.perRPC = bearer{token: bearerToken(accessKey, secretKey)} }
}

// WithSigV4 signs every call with Signature Version 4, for the gateway's region.
//
// A signature is good for one method and fifteen minutes: the clocks must agree so far.
func WithSigV4(accessKey, secretKey, region string) Option {
	return func(s *settings) {
		s.perRPC = sigV4{accessKey: accessKey, secretKey: secretKey, region: region, now: time.Now}
	}
}

// WithTLS connects over TLS; a nil configuration trusts the authorities of the system.  With certificates in it, it is
// mutual TLS.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.transport = credentials.NewTLS(config) }
}

// WithAttempts makes at most so many attempts of a call, the first one counted (8 unless said).
func WithAttempts(attempts int) Option {
	return func(s *settings) { s.retries.attempts = max(attempts, 1) }
}

// WithParts makes Upload and Download move parts of so many bytes (8 MiB unless said, 5 MiB at least), so many at once
// (4 unless said).
func WithParts(bytes int64, parallel int) Option {
	return func(s *settings) {
		s.partBytes = max(bytes, minPartBytes)
		s.parallel = max(parallel, 1)
	}
}

// Dial makes a client of the gateway at target, "host:port".
//
// It does not connect yet: the first call does, and whatever keeps it from that is that call's error.  Without
// credentials, every call is an anonymous one.
func Dial(target string, options ...Option) (*Client, error) {
	chosen := settings{
		transport: insecure.NewCredentials(),
		partBytes: defaultPartBytes,
		parallel:  defaultParallel,
		retries:   retries{attempts: defaultAttempts, base: 100 * time.Millisecond, most: 5 * time.Second},
	}
	for _, option := range options {
		option(&chosen)
	}
	dialing := []grpc.DialOption{
		grpc.WithTransportCredentials(chosen.transport),
		grpc.WithUnaryInterceptor(chosen.retries.unary),
		grpc.WithStreamInterceptor(stream),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes),
			// With a buffer, gRPC begins a stream again by itself where the connection breaks early, with the messages
			// that it remembers and then the end: a gateway would store those as the whole object.
			grpc.MaxRetryRPCBufferSize(0),
		),
		// A connection that went silent is one that broke: the gateway takes a ping every 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		// A call waits by the client's own clock: a connection that is slower to come back would use up its attempts.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if chosen.perRPC != nil {
		dialing = append(dialing, grpc.WithPerRPCCredentials(chosen.perRPC))
	}
	connection, err := grpc.NewClient(target, dialing...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Buckets:    rs3gwpb.NewBucketServiceClient(connection),
		Objects:    rs3gwpb.NewObjectServiceClient(connection),
		Uploads:    rs3gwpb.NewMultipartServiceClient(connection),
		connection: connection,
		settings:   chosen,
	}, nil
}

// Close ends the connection, and the calls that are under way on it.
func (c *Client) Close() error { return c.connection.Close() }
