package rs3gw_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	rs3gw "github.com/rs3gw/rs3gw/clients/go"
	"github.com/rs3gw/rs3gw/clients/go/rs3gwpb"
)

func TestAReadGoesOnAtTheByteWhereTheConnectionBroke(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	data := noise(4*mebibyte+11, 8)
	put(t, direct, name, "k", data)
	between.breaks([]int64{100_000, 1_000_000, 300_000}, nil)
	got := get(t, dial(t, between.target()), name, "k")
	between.breaks([]int64{100_000, 700_000}, nil)
	ranged := get(t, dial(t, between.target()), name, "k", rs3gw.Range(1_000_000, 2_000_000))

	same(t, data, got)
	same(t, data[1_000_000:3_000_000], ranged)
	if broken := between.broken.Load(); broken != 5 {
		t.Fatal(broken, "connections broke")
	}
}

func TestAReadNeverMixesAnObjectWithWhatReplacedIt(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	put(t, direct, name, "k", noise(4*mebibyte, 9))
	between.breaks([]int64{1_000_000}, nil)
	body, _, err := dial(t, between.target()).Get(context.Background(), name, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	put(t, direct, name, "k", noise(4*mebibyte, 10))
	got, err := io.ReadAll(body)

	if !errors.Is(err, rs3gw.ErrPreconditionFailed) {
		t.Fatal(err)
	}
	same(t, noise(4*mebibyte, 9)[:len(got)], got)
}

func TestABodyThatCanBeReadTwiceIsSentAgain(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	data := noise(3*mebibyte, 11)
	between.breaks(nil, []int64{200_000, 900_000})
	body := bytes.NewReader(append([]byte("read before"), data...))
	_, _ = body.Seek(11, io.SeekStart)
	_, err := dial(t, between.target()).Put(context.Background(), name, "k", body)

	if err != nil {
		t.Fatal(err)
	}
	same(t, data, get(t, direct, name, "k"))
	if broken := between.broken.Load(); broken != 2 {
		t.Fatal(broken, "connections broke")
	}
}

// gRPC begins a stream again by itself where little of it was sent, and would send that little alone.
func TestAnUploadThatBreaksAtItsBeginningIsNeverStoredShort(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	data := noise(400_000, 16)
	for round := range int64(12) {
		between.breaks(nil, []int64{500 + round*7_000, 20 + round})
		key := fmt.Sprint(round)
		client := dial(t, between.target())
		failures := make(chan error)
		for stream := range 3 {
			go func() {
				_, err := client.Put(context.Background(), name, fmt.Sprint(key, stream), bytes.NewReader(data))
				failures <- err
			}()
		}
		for range 3 {
			if err := <-failures; err != nil {
				t.Fatal(round, err)
			}
		}
		for stream := range 3 {
			same(t, data, get(t, direct, name, fmt.Sprint(key, stream)))
		}
	}
}

func TestABodyThatCannotBeReadTwiceIsNotSentAgain(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	between.breaks(nil, []int64{200_000})
	_, err := dial(t, between.target()).Put(context.Background(), name, "k", io.MultiReader(bytes.NewReader(noise(3*mebibyte, 12))))

	var lost *rs3gw.Error
	if !errors.As(err, &lost) || lost.Code != "" {
		t.Fatal(err)
	}
	if _, err := direct.Head(context.Background(), name, "k"); !errors.Is(err, rs3gw.ErrNoSuchKey) {
		t.Fatal(err)
	}
}

func TestPartsAndRangesAreEachSentAgain(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	data := noise(17*mebibyte, 13)
	between.breaks(nil, []int64{2_000_000, 7_000_000, 1_000_000})
	client := dial(t, between.target(), rs3gw.WithParts(5*mebibyte, 3))
	upload(t, client, name, data)
	uploading := between.broken.Load()
	between.breaks([]int64{1_000_000, 9_000_000}, nil)
	file := create(t)
	_, err := dial(t, between.target(), rs3gw.WithParts(5*mebibyte, 3)).Download(context.Background(), name, "k", file)

	if err != nil {
		t.Fatal(err)
	}
	same(t, data, content(t, file))
	if uploading != 3 || between.broken.Load() != 5 {
		t.Fatal(uploading, between.broken.Load(), "connections broke")
	}
}

// What was done must not look refused: a repetition would find the object that the first try made.
func TestAWriteUnderAConditionIsNotRepeatedWhereItsAnswerWasLost(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	client := dial(t, between.target())
	putUnheard := func(key string, asking ...func(*rs3gwpb.PutObjectRequest)) error {
		_, _ = client.Head(context.Background(), name, key) // so that the connection stands
		between.isMute.Store(true)
		failure := make(chan error)
		go func() {
			_, err := client.Put(context.Background(), name, key, bytes.NewReader(noise(1000, 14)), asking...)
			failure <- err
		}()
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
			if _, err := direct.Head(context.Background(), name, key); err == nil {
				break
			}
		}
		between.breakAll()
		return <-failure
	}
	conditional, plain := putUnheard("conditional", rs3gw.IfAbsent()), putUnheard("plain")

	var lost *rs3gw.Error
	if !errors.As(conditional, &lost) || lost.Code != "" || errors.Is(conditional, rs3gw.ErrPreconditionFailed) {
		t.Fatal(conditional)
	}
	if plain != nil {
		t.Fatal(plain)
	}
}

func TestAGatewayThatIsNotThereIsTriedAgainAndThenAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	began := time.Now()
	_, err = dial(t, nobody, rs3gw.WithAttempts(3)).Head(context.Background(), "bucket", "k")

	var lost *rs3gw.Error
	if !errors.As(err, &lost) || lost.Code != "" || lost.RequestID != "" {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatal(took)
	}
}

func TestAByteThatChangesOnItsWayIsNoticed(t *testing.T) {
	direct, between := dial(t, target), newProxy(t)
	name := bucket(t, direct)
	client := dial(t, between.target(), rs3gw.WithParts(5*mebibyte, 2))
	zeros := make([]byte, 11*mebibyte)
	tainted := func(move func() error) error {
		between.willTaint.Store(true)
		err := move()
		if between.willTaint.Load() {
			t.Fatal("nothing was changed")
		}
		return err
	}
	putting := tainted(func() error {
		_, err := client.Put(context.Background(), name, "k", bytes.NewReader(zeros))
		return err
	})
	uploading := tainted(func() error {
		_, err := client.Upload(context.Background(), name, "k", bytes.NewReader(zeros), int64(len(zeros)))
		return err
	})
	upload(t, direct, name, zeros)
	reading := tainted(func() error {
		body, _, err := client.Get(context.Background(), name, "k")
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(io.Discard, body)
		return err
	})
	downloading := tainted(func() error {
		_, err := client.Download(context.Background(), name, "k", create(t))
		return err
	})

	for _, err := range []error{putting, uploading, reading, downloading} {
		if !errors.Is(err, rs3gw.ErrChecksum) {
			t.Fatal(putting, uploading, reading, downloading)
		}
	}
}
