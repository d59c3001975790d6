package overload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := NewPlaces(3, 10*time.Second)
		var at, most atomic.Int32
		var all sync.WaitGroup
		for range 30 { // at 1 s each they take 10 s in all: the last just has its turn
			all.Go(func() {
				leave, err := places.Enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer leave()
				if n := at.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				at.Add(-1)
			})
		}
		all.Wait()
		if most.Load() != 3 {
			t.Errorf("%d were inside at once, want 3", most.Load())
		}
	})
}

func TestNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := NewPlaces(1, 10*time.Second)
		leave, err := places.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := places.Enter(t.Context()); err == nil || !strings.Contains(err.Error(), "mta.max_concurrent") {
			t.Errorf("Enter() = %v, want an error that names mta.max_concurrent", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waited for %v, want 10s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := places.Enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Enter() = %v, want %v", err, context.DeadlineExceeded)
		}
		leave()
		leave, err = places.Enter(ctx) // free again
		if err != nil {
			t.Fatal(err)
		}
		leave()
	})
}

// SM-06: what is over the bound is closed, and told once.
func TestListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	l := Listener(inner, 4, slog.New(slog.NewTextHandler(&logged, nil)))
	taken := make(chan net.Conn)
	go func() {
		defer close(taken)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var open []net.Conn
	for range 4 {
		dial()
		open = append(open, <-taken)
	}
	for range 3 {
		if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("one connection too many: %v, want it closed", err)
		}
	}
	for range 2 { // closing twice counts once
		open[0].Close()
	}
	dial()
	<-taken
	if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one connection too many after an end: %v, want it closed", err)
	}
	open[1].Close()
	l.Close()
	<-taken
	log := logged.String()
	if strings.Count(log, "too many connections") != 2 || strings.Count(log, "taken again") != 2 || !strings.Contains(log, "refused=3") {
		t.Errorf("log is, want two shortages, the first of 3:\n%s", log)
	}
}
