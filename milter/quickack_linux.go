package milter

import (
	"io"
	"net"
	"syscall"
)

// quickAck makes the kernel acknowledge at once what a TCP connection brings. The
// kernel forgets the wish again and again, hence before every read. An MTA that
// sends several small frames without waiting for an answer (header fields) is
// otherwise held up: it sends nothing more before the first is acknowledged
// (Nagle's algorithm), and the kernel takes 40 ms for that.
func quickAck(conn net.Conn) io.Reader {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return quickAckReader{tcp, raw}
}

type quickAckReader struct {
	tcp *net.TCPConn
	raw syscall.RawConn
}

// Read ignores errors of setting the option: it is there for speed only.
func (r quickAckReader) Read(p []byte) (int, error) {
	_ = r.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
	return r.tcp.Read(p)
}
