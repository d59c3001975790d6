package integration

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
)

// Proxy passes SMTP or LMTP connections on, and lets a story act at the very
// moment between the server's reply to a message and the client's learning of
// it: where a crash hurts most.
type Proxy struct {
	listener net.Listener
	network  string
	address  string // of the server

	mu     sync.Mutex
	before func(reply string) // called before a reply to a message is passed on
	open   map[net.Conn]bool
	all    sync.WaitGroup
}

// startProxies starts the provider's proxies, if there are to be any.
func (p *Provider) startProxies() error {
	if !p.world.options.Proxies {
		return nil
	}
	var err error
	if p.mailbox, err = listenProxy("unix", filepath.Join(p.Dir, "lmtp"), "unix", p.mailboxSocket()); err != nil {
		return err
	}
	p.inject, err = listenProxy("tcp", "127.0.0.1:0", "tcp", address(p.Ports.Inject))
	return err
}

// storeSocket is where the daemon finds the mailbox store.
func (p *Provider) storeSocket() string {
	if mailbox := p.variant().Mailbox; mailbox != "" {
		return mailbox
	}
	if p.mailbox == nil {
		return p.mailboxSocket()
	}
	return p.mailbox.listener.Addr().String()
}

// injectAddress is where the daemon hands in its notices.
func (p *Provider) injectAddress() string {
	if p.inject == nil {
		return address(p.Ports.Inject)
	}
	return p.inject.listener.Addr().String()
}

// MailboxProxy stands before the mailbox store, with Options.Proxies.
func (p *Provider) MailboxProxy() *Proxy { return p.mailbox }

// InjectProxy stands before the injection port, with Options.Proxies.
func (p *Provider) InjectProxy() *Proxy { return p.inject }

func listenProxy(network, address, toNetwork, toAddress string) (*Proxy, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return newProxy(listener, toNetwork, toAddress), nil
}

// newProxy serves a listener until Close.
func newProxy(listener net.Listener, toNetwork, toAddress string) *Proxy {
	p := &Proxy{listener: listener, network: toNetwork, address: toAddress, open: make(map[net.Conn]bool)}
	p.all.Go(p.serve)
	return p
}

// BeforeReply sets what is done with each positive reply to a message (not to a
// command), before it is passed on to the client. nil: nothing.
func (p *Proxy) BeforeReply(hook func(reply string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = hook
}

func (p *Proxy) hook() func(string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before
}

// Close ends all connections. A nil Proxy is closed already.
func (p *Proxy) Close() error {
	if p == nil {
		return nil
	}
	err := p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		err = errors.Join(err, conn.Close())
	}
	p.mu.Unlock()
	p.all.Wait()
	return err
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.all.Go(func() { p.pass(client) })
	}
}

// pass passes one connection on, until either side ends it.
func (p *Proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		return // the client sees the server gone, as it is
	}
	defer server.Close()
	defer p.track(client, server)()

	replies := make(chan struct{})
	c := &conversation{}
	go func() {
		defer close(replies)
		defer client.Close()
		c.passReplies(client, server, p.hook)
	}()
	c.passCommands(server, client)
	server.Close() // the client is gone
	<-replies
}

func (p *Proxy) track(conns ...net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.open[conn] = true
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, conn := range conns {
			delete(p.open, conn)
		}
	}
}

// conversation is what both directions of a connection know of each other.
type conversation struct {
	mu   sync.Mutex
	data bool // the server said 354: a message follows
	sent bool // the final dot was passed on: the next replies are to the message
}

// passCommands copies from the client, and sees where a message ends.
func (c *conversation) passCommands(server io.Writer, client io.Reader) {
	in := bufio.NewReaderSize(client, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil // a very long line is no dot
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			c.endMessage()
		}
		if _, failed := server.Write(line); failed != nil || err != nil {
			return
		}
	}
}

func (c *conversation) endMessage() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data {
		c.data, c.sent = false, true
	}
}

// passReplies copies from the server, and calls the hook where it should.
func (c *conversation) passReplies(client io.Writer, server io.Reader, hook func() func(string)) {
	in := bufio.NewReader(server)
	for {
		line, err := in.ReadString('\n')
		if act := hook(); act != nil && c.answersMessage(line) {
			act(strings.TrimSpace(line))
		}
		if _, failed := io.WriteString(client, line); failed != nil || err != nil {
			return
		}
	}
}

// answersMessage tells whether a line is a positive reply to a message.
func (c *conversation) answersMessage(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(line, "354") {
		c.data, c.sent = true, false
		return false
	}
	if len(line) < 4 || line[3] != ' ' || !c.sent {
		return false
	}
	c.sent = false
	return line[0] == '2'
}
