package mysql

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// sourceConn is a connection that brings what a reader does.
type sourceConn struct {
	net.Conn
	io.Reader
}

func (c sourceConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func packetOf(n int) []byte {
	b := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), 7}, bytes.Repeat([]byte{byte(n)}, n)...)
	return b
}

// Whatever pieces the network makes, the same bytes come out, and none of a
// packet before the one in front of it was asked for to its end. A large packet
// is announced when all before it has been passed on.
func TestPackets(t *testing.T) {
	sizes := []int{0, 1, 300, 65_531, 65_532, largePacket - 1, largePacket, 3, 2 * largePacket, 0}
	var log []byte
	for _, n := range sizes {
		log = append(log, packetOf(n)...)
	}
	for name, pieces := range map[string]func(io.Reader) io.Reader{
		"whole":  func(r io.Reader) io.Reader { return r },
		"halves": iotest.HalfReader,
		"bytes":  iotest.OneByteReader,
		"end":    iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			passed, reads, announced := 0, 0, map[int]bool{}
			in := pieces(bytes.NewReader(log))
			p := newPackets(sourceConn{Reader: in}, nil)
			p.before = func() {
				reads++
				if p.left == 0 && p.w-p.r >= packetHeader {
					announced[passed] = true
				}
			}
			var got []byte
			b := make([]byte, 100_000) // more than is left of a packet is asked for
			for _, n := range sizes {
				begin := passed
				for passed < begin+packetHeader+n {
					k, err := p.Read(b)
					if err != nil {
						t.Fatalf("at %d: %v", passed, err)
					}
					got, passed = append(got, b[:k]...), passed+k
				}
				if passed != begin+packetHeader+n {
					t.Fatalf("a packet of %d bytes at %d was passed on up to %d", n, begin, passed)
				}
				if want := n >= largePacket; announced[begin] != want {
					t.Errorf("a packet of %d bytes was announced: %t", n, !want)
				}
			}
			if !bytes.Equal(got, log) {
				t.Error("other bytes came out")
			}
			if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
			if name == "whole" && reads > len(log)/readSize+2*len(sizes) {
				t.Errorf("%d reads for %d bytes", reads, len(log))
			}
		})
	}
}
