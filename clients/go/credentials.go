package rs3gw

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
)

// bearer and sigV4 are what docs/authentication.md describes.  Neither insists on TLS: a gateway on loopback, or beside
// a proxy that ends TLS, is asked in clear.

type bearer struct{ token string }

func bearerToken(accessKey, secretKey string) string {
	return accessKey + "." + hex.EncodeToString(sign([]byte(secretKey), "rs3gw bearer token v1"))
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

type sigV4 struct {
	accessKey, secretKey, region string
	now                          func() time.Time
}

func (s sigV4) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	// The URI that is given names the service alone; what is signed is the method.
	call, ok := credentials.RequestInfoFromContext(ctx)
	if !ok {
		return nil, errors.New("rs3gw: a signature needs the method that is called")
	}
	return s.metadata(call.Method), nil
}

func (sigV4) RequireTransportSecurity() bool { return false }

// metadata signs POST of the method's path, with no query and an unsigned payload, at this moment.
func (s sigV4) metadata(path string) map[string]string {
	const names = "x-amz-content-sha256;x-amz-date"
	moment := s.now().UTC().Format("20060102T150405Z")
	date := moment[:8]
	scope := date + "/" + s.region + "/s3/aws4_request"
	request := fmt.Sprintf("POST\n%s\n\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:%s\n\n%s\nUNSIGNED-PAYLOAD", path, moment, names)
	digest := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + s.secretKey)
	for _, piece := range []string{date, s.region, "s3", "aws4_request"} {
		key = sign(key, piece)
	}
	signature := sign(key, fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", moment, scope, digest))
	return map[string]string{
		"x-amz-content-sha256": "UNSIGNED-PAYLOAD",
		"x-amz-date":           moment,
		"authorization":        fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", s.accessKey, scope, names, signature),
	}
}

func sign(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
