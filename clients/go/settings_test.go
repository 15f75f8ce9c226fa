package rs3gw_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
)

func TestAGatewayThatIsBusyIsAskedAgainAfterAWhile(t *testing.T) {
	busy := served(t, "RS3GW_MAX_REQUESTS=1").target
	client := dial(t, busy)
	name := bucket(t, client)
	body, feed := io.Pipe()
	stored := make(chan error, 1)
	go func() {
		_, err := client.Put(context.Background(), name, "slow", body)
		body.CloseWithError(err)
		stored <- err
	}()
	// More than a message has gone: the upload is under way, and has the only place there is.
	if _, err := feed.Write(noise(2*mebibyte, 15)); err != nil {
		t.Fatal(err)
	}
	_, impatient := dial(t, busy, rs3gw.WithAttempts(1)).Head(context.Background(), name, "slow")
	time.AfterFunc(300*time.Millisecond, func() { feed.Close() })
	_, patient := dial(t, busy, rs3gw.WithAttempts(20)).Head(context.Background(), name, "slow")

	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if !errors.Is(impatient, rs3gw.ErrSlowDown) || patient != nil {
		t.Fatal(impatient, patient)
	}
}

func TestAReadAndAnUploadOutliveAGatewayThatIsKilledAndStartedAgain(t *testing.T) {
	gateway := served(t)
	client := dial(t, gateway.target, rs3gw.WithParts(5*mebibyte, 2), rs3gw.WithAttempts(30))
	name := bucket(t, client)
	data := noise(16*mebibyte, 17)
	put(t, client, name, "read", data)
	body, _, err := client.Get(context.Background(), name, "read")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var once sync.Once
	asked := make(chan struct{})
	source := &leaving{ReaderAt: bytes.NewReader(data), after: 6 * mebibyte, leave: func() { once.Do(func() { close(asked) }) }}
	uploaded := make(chan error, 1)
	go func() {
		_, err := client.Upload(context.Background(), name, "written", source, int64(len(data)))
		uploaded <- err
	}()
	<-asked
	gateway.end(syscall.SIGKILL)
	if err := gateway.start(); err != nil {
		t.Fatal(err)
	}
	read, err := io.ReadAll(body)

	if err := errors.Join(err, <-uploaded); err != nil {
		t.Fatal(err)
	}
	same(t, data, read)
	same(t, data, get(t, client, name, "written"))
}

func TestTLSIsSpokenWithWhomItsAuthoritySigned(t *testing.T) {
	authority := newAuthority(t)
	certificate, key := authority.sign(t, "gateway")
	secure := served(t, "RS3GW_GRPC_TLS_CERT="+certificate, "RS3GW_GRPC_TLS_KEY="+key, "RS3GW_GRPC_TLS_CLIENT_CA="+authority.path).target
	certificate, key = authority.sign(t, "client")
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	known := dial(t, secure, rs3gw.WithTLS(&tls.Config{RootCAs: authority.pool, Certificates: []tls.Certificate{own}}))
	name := bucket(t, known)
	put(t, known, name, "k", []byte("secret"))

	same(t, []byte("secret"), get(t, known, name, "k"))
	for who, config := range map[string]*tls.Config{
		"a client without a certificate":        {RootCAs: authority.pool},
		"a client that trusts the world alone":  nil,
		"a client that trusts nobody in it all": {RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{own}},
	} {
		if _, err := dial(t, secure, rs3gw.WithTLS(config), rs3gw.WithAttempts(1)).Head(context.Background(), name, "k"); err == nil {
			t.Fatal(who, "was served")
		}
	}
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
	path        string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	made := authority{certificate: template, pool: x509.NewCertPool()}
	made.path, _ = made.issue(t, "authority", template)
	written, err := os.ReadFile(made.path)
	if err != nil {
		t.Fatal(err)
	}
	made.pool.AppendCertsFromPEM(written)
	return made
}

// sign writes a certificate for loopback, and its key.
func (a *authority) sign(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	return a.issue(t, name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
}

func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (certificate, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a.key == nil {
		a.key = own
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, name+".pem", "CERTIFICATE", signed), written(t, name+".key", "PRIVATE KEY", private)
}

func written(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
