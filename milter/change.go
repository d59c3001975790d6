package milter

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// maxChunk is the largest piece of a body in one packet that every MTA takes.
const maxChunk = int(gomilter.DataSize64K)

// change tells the MTA what a verdict does to the message. The order holds on
// Postfix and on Sendmail: header, then the body in one go, then recipients.
// The MTA keeps none of it unless it gets our accept.
func change(ctx context.Context, m gomilter.Modifier, t *point.Transaction, v *point.Verdict) error {
	if v.Replace != nil {
		if err := replace(ctx, m, t.Message.Header, v.Replace); err != nil {
			return err
		}
	}
	if v.RemoveRecipients {
		for _, recipient := range t.Recipients {
			if err := m.DeleteRecipient(recipient); err != nil {
				return fmt.Errorf("deleting recipient %s: %w", recipient, err)
			}
		}
	}
	for _, recipient := range v.AddRecipients {
		if err := m.AddRecipient(recipient, "NOTIFY=NEVER"); err != nil {
			return fmt.Errorf("adding recipient %s: %w", recipient, err)
		}
	}
	return ctx.Err()
}

// replace puts a signed message in the place of the one that came.
func replace(ctx context.Context, m gomilter.Modifier, received pec.Header, signed *pec.Signed) error {
	if err := deleteFields(ctx, m, received); err != nil {
		return err
	}
	if err := insertFields(ctx, m, signed.Header); err != nil {
		return err
	}
	body := bufio.NewWriterSize(bodyPackets{ctx, m}, int(min(signed.BodySize()+1, int64(maxChunk))))
	if err := signed.WriteBody(body); err != nil {
		return fmt.Errorf("writing the new body: %w", err)
	}
	if err := body.Flush(); err != nil {
		return fmt.Errorf("writing the new body: %w", err)
	}
	return nil
}

// deleteFields deletes all fields that the MTA has shown. A field is named by
// its place among those of its name.
//
// QUIRK: Postfix counts again after each deletion, Sendmail does not: from the
// last to the first both mean the same field.
func deleteFields(ctx context.Context, m gomilter.Modifier, header pec.Header) error {
	place := make(map[string]int)
	for _, f := range header {
		place[strings.ToLower(f.Name)]++
	}
	for _, f := range slices.Backward(header) {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := strings.ToLower(f.Name)
		if err := m.ChangeHeader(place[name], f.Name, ""); err != nil {
			return fmt.Errorf("deleting header field %s: %w", f.Name, err)
		}
		place[name]--
	}
	return nil
}

// insertFields inserts the new fields, in their order, below the MTA's own
// Received field (which has place 0).
//
// QUIRK: never add: Sendmail puts an added field where one of that name was.
func insertFields(ctx context.Context, m gomilter.Modifier, header pec.Header) error {
	for i, f := range header {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.InsertHeader(i+1, f.Name, f.Value); err != nil {
			return fmt.Errorf("inserting header field %s: %w", f.Name, err)
		}
	}
	return nil
}

// bodyPackets sends what is written to it as packets that replace the body.
type bodyPackets struct {
	ctx context.Context
	m   gomilter.Modifier
}

func (p bodyPackets) Write(b []byte) (int, error) {
	for chunk := range slices.Chunk(b, maxChunk) {
		if err := p.ctx.Err(); err != nil {
			return 0, err
		}
		if err := p.m.ReplaceBodyRawChunk(chunk); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
