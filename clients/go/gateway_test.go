package rs3gw_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
)

// The tests ask a real gateway: the one that RS3GW_TEST_GRPC names, or one of their own, which RS3GW_COMMAND starts.
var (
	target    = os.Getenv("RS3GW_TEST_GRPC")
	accessKey = os.Getenv("RS3GW_TEST_ACCESS_KEY")
	secretKey = os.Getenv("RS3GW_TEST_SECRET_KEY")
)

const startSeconds = 20

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if target != "" {
			return m.Run()
		}
		accessKey, secretKey = "gotestgotest", "a secret for tests alone"
		own, err := newGateway()
		if err == nil {
			err = own.start()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer own.remove()
		target = own.target
		return m.Run()
	}())
}

// gateway is one to be started over an empty root, on ports that nobody listens on; both stay its own.
type gateway struct {
	root, target string
	settings     []string
	process      *exec.Cmd
	ended        chan struct{}
}

func newGateway(settings ...string) (*gateway, error) {
	root, err := os.MkdirTemp("", "rs3gw-go-")
	if err != nil {
		return nil, err
	}
	port := freePort()
	own := []string{
		fmt.Sprintf("RS3GW_BIND_ADDR=127.0.0.1:%d", freePort()), fmt.Sprintf("RS3GW_GRPC_PORT=%d", port),
		"RS3GW_GRPC_ENABLED=true", "RS3GW_STORAGE_ROOT=" + root, "RS3GW_LOG_LEVEL=error",
		"RS3GW_ACCESS_KEY=" + accessKey, "RS3GW_SECRET_KEY=" + secretKey,
	}
	return &gateway{root: root, target: fmt.Sprintf("127.0.0.1:%d", port), settings: append(own, settings...)}, nil
}

// start returns when it listens.
func (g *gateway) start() error {
	command := os.Getenv("RS3GW_COMMAND")
	if command == "" {
		command = filepath.Join("..", "..", ".venv", "bin", "rs3gw")
	}
	g.process, g.ended = exec.Command(command, "serve"), make(chan struct{})
	// What the tests are told with such names is no setting of a gateway, which refuses to guess.
	others := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "RS3GW_") })
	g.process.Env = append(others, g.settings...)
	g.process.Stderr = os.Stderr
	if err := g.process.Start(); err != nil {
		return err
	}
	go func() {
		_ = g.process.Wait()
		close(g.ended)
	}()
	for began := time.Now(); time.Since(began) < startSeconds*time.Second; time.Sleep(20 * time.Millisecond) {
		select {
		case <-g.ended:
			return fmt.Errorf("%s serve ended before it was ready", command)
		default:
		}
		if probe, err := net.Dial("tcp", g.target); err == nil {
			probe.Close()
			return nil
		}
	}
	g.end(syscall.SIGKILL)
	return fmt.Errorf("%s serve was not ready within %d s", command, startSeconds)
}

func (g *gateway) end(how os.Signal) {
	_ = g.process.Process.Signal(how)
	<-g.ended
}

// remove stops it and takes its root away.
func (g *gateway) remove() {
	g.end(syscall.SIGTERM)
	_ = os.RemoveAll(g.root)
}

// served is a gateway for one test alone.
func served(t *testing.T, settings ...string) *gateway {
	t.Helper()
	own, err := newGateway(settings...)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.remove)
	return own
}

func freePort() int {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer probe.Close()
	return probe.Addr().(*net.TCPAddr).Port
}

func dial(t *testing.T, to string, options ...rs3gw.Option) *rs3gw.Client {
	t.Helper()
	client, err := rs3gw.Dial(to, append([]rs3gw.Option{rs3gw.WithBearer(accessKey, secretKey)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

var buckets atomic.Int64

// bucket makes one for this test alone.
func bucket(t *testing.T, client *rs3gw.Client) string {
	t.Helper()
	name := fmt.Sprintf("go-%d-%d", time.Now().UnixNano(), buckets.Add(1))
	if err := client.CreateBucket(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	return name
}

// proxy stands between a client and the gateway, and breaks connections: in their middle, without a word.
type proxy struct {
	net.Listener
	mutex sync.Mutex
	// budgets are how many bytes from the gateway (down) or to it (up) the next connections carry before they break;
	// a connection beyond them carries all.
	down, up []int64
	broken   atomic.Int64
	// isMute says that nothing of what the gateway answers comes through.
	isMute atomic.Bool
	// willTaint says that one byte of the next long run of zeros comes through as another, in either direction.
	willTaint atomic.Bool
	ends      []func(isBroken bool)
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.carry(client)
		}
	}()
	return p
}

func (p *proxy) target() string { return p.Addr().String() }

func (p *proxy) breaks(down, up []int64) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.down, p.up = down, up
}

func next(budgets *[]int64) int64 {
	if len(*budgets) == 0 {
		return 1 << 62
	}
	budget := (*budgets)[0]
	*budgets = (*budgets)[1:]
	return budget
}

func (p *proxy) carry(client net.Conn) {
	gateway, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	var once sync.Once
	end := func(isBroken bool) {
		once.Do(func() {
			if isBroken {
				p.broken.Add(1)
				// A reset, as a host that went away would send.
				_ = client.(*net.TCPConn).SetLinger(0)
				_ = gateway.(*net.TCPConn).SetLinger(0)
			}
			client.Close()
			gateway.Close()
		})
	}
	p.mutex.Lock()
	down, up := next(&p.down), next(&p.up)
	p.ends = append(p.ends, end)
	p.mutex.Unlock()
	go func() {
		carried, _ := io.CopyN(taintable{gateway, &p.willTaint}, client, up)
		end(carried == up)
	}()
	carried, _ := io.CopyN(mutable{taintable{client, &p.willTaint}, &p.isMute}, gateway, down)
	end(carried == down)
}

// breakAll breaks the connections that there are, and lets answers through on those that come.
func (p *proxy) breakAll() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, end := range p.ends {
		end(true)
	}
	p.ends = nil
	p.isMute.Store(false)
}

type mutable struct {
	io.Writer
	isMute *atomic.Bool
}

func (m mutable) Write(data []byte) (int, error) {
	if m.isMute.Load() {
		return len(data), nil
	}
	return m.Writer.Write(data)
}

type taintable struct {
	io.Writer
	willTaint *atomic.Bool
}

func (m taintable) Write(data []byte) (int, error) {
	if at := bytes.Index(data, make([]byte, 1000)); at >= 0 && m.willTaint.CompareAndSwap(true, false) {
		data = bytes.Clone(data)
		data[at+500] = 1
	}
	return m.Writer.Write(data)
}
