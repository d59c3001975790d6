package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pec-milter/pec-milter/pec"
)

// openMessage opens a file with a message; the file is to be closed. An error that
// wraps pec.ErrHeader means that the file is no message.
func openMessage(path string) (*os.File, pec.Message, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, pec.Message{}, err
	}
	m, err := readMessage(file)
	if err != nil {
		return nil, pec.Message{}, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, m, nil
}

func readMessage(file *os.File) (pec.Message, error) {
	info, err := file.Stat()
	if err != nil {
		return pec.Message{}, err
	}
	start, err := postmark(file)
	if err != nil {
		return pec.Message{}, err
	}
	size := info.Size() - start
	return pec.ReadMessage(io.NewSectionReader(file, start, size), size)
}

// maxPostmark is the longest line "From ", in bytes, that is passed over.
const maxPostmark = 1 << 10

// postmark is the length of a line "From " before the header, as mailboxes of
// many messages in one file have it; 0 where there is none.
func postmark(file io.ReaderAt) (int64, error) {
	begin := make([]byte, maxPostmark)
	n, err := file.ReadAt(begin, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if begin = begin[:n]; !bytes.HasPrefix(begin, []byte("From ")) {
		return 0, nil
	}
	return int64(bytes.IndexByte(begin, '\n') + 1), nil
}
