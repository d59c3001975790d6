package explore

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"github.com/pec-milter/pec-milter/pec"
)

// contents are all messages that were ever made, by their sums.
type contents struct {
	mu    sync.Mutex
	bySum map[string]*content
}

// content is a message, and what it says.
type content struct {
	message    pec.Message
	bodyDigest [32]byte
	messageID  string // without <>
	signature  *pec.Signature
	data       *pec.CertificationData // nil: not certified
}

// keep remembers a message and gives its sum.
func (c *contents) keep(data []byte) string {
	digest := sha256.Sum256(data)
	sum := string(digest[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bySum[sum] == nil {
		c.bySum[sum] = read(data)
	}
	return sum
}

func (c *contents) get(sum string) *content {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bySum[sum]
}

func read(data []byte) *content {
	m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(err) // the doors would not have taken, or made, it
	}
	c := &content{message: m, bodyDigest: bodyDigest(m), messageID: strings.Trim(pec.MessageID(m.Header), "<>")}
	if c.signature, err = pec.VerifySignature(m, nil); err != nil {
		return c
	}
	if c.data, _, err = pec.Parts(c.signature); err != nil {
		c.data = nil
	}
	return c
}

// kind is that of the certified message; empty where it is none.
func (c *content) kind() pec.Kind {
	if c.data == nil {
		return ""
	}
	return c.data.Kind
}

// id is the PEC msgid; empty where it is not certified.
func (c *content) id() string {
	if c.data == nil {
		return ""
	}
	return c.data.ID
}

// describe tells a letter in words.
func (r *run) describe(l letter) string {
	c := r.contents.get(l.Sum)
	if c.data == nil {
		return "message"
	}
	return fmt.Sprintf("%s of %s", c.data.Kind, c.data.ID)
}
