package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// The types of this file are settings written as text. Reading one never ends
// the reading of the file: a fault waits until Load reports it with all others.

// Duration is a span of time, written with its unit: "20s", "5m", "1h30m".
type Duration struct {
	time.Duration
	fault error
}

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	d.Duration, d.fault = time.ParseDuration(string(text))
	if d.fault != nil || d.Duration <= 0 {
		d.fault = fmt.Errorf("%q is no duration: write a positive number with its unit, as \"20s\" or \"5m\"", text)
	}
	return nil
}

// Day is a day, written as "2006-01-02"; zero where nothing is written.
type Day struct {
	time.Time // 0:00 UTC
	fault     error
}

// UnmarshalText reads a day.
func (d *Day) UnmarshalText(text []byte) error {
	*d = Day{}
	if len(text) == 0 {
		return nil
	}
	if d.Time, d.fault = time.Parse(time.DateOnly, string(text)); d.fault != nil {
		d.fault = fmt.Errorf("%q is no day: write it as \"2006-01-02\"", text)
	}
	return nil
}

// Span is a span of time that may be none: "0s".
type Span struct {
	time.Duration
	fault error
}

// UnmarshalText reads a span of time.
func (s *Span) UnmarshalText(text []byte) error {
	s.Duration, s.fault = time.ParseDuration(string(text))
	if s.fault != nil || s.Duration < 0 {
		s.fault = fmt.Errorf("%q is no duration: write 0s, or a positive number with its unit, as \"12h\"", text)
	}
	return nil
}

// Level is a level of the log: "debug", "info", "warn" or "error".
type Level struct {
	slog.Level
	fault error
}

// UnmarshalText reads a level.
func (l *Level) UnmarshalText(text []byte) error {
	if l.fault = l.Level.UnmarshalText(text); l.fault != nil {
		l.fault = fmt.Errorf("%q is no level: write debug, info, warn or error", text)
	}
	return nil
}

// Hex is a string of bytes, written in hexadecimal digits.
type Hex struct {
	Bytes []byte
	fault error
}

// UnmarshalText reads hexadecimal digits.
func (h *Hex) UnmarshalText(text []byte) error {
	if h.Bytes, h.fault = hex.DecodeString(string(text)); h.fault != nil {
		h.fault = fmt.Errorf("%q are no bytes: write pairs of hexadecimal digits, as \"0a1b\"", text)
	}
	return nil
}

// OID is an object identifier, written in digits and dots.
type OID struct {
	Numbers []int // as in an asn1.ObjectIdentifier; nil: none
	fault   error
}

// UnmarshalText reads an object identifier.
func (o *OID) UnmarshalText(text []byte) error {
	for part := range strings.SplitSeq(string(text), ".") {
		number, err := strconv.Atoi(part)
		if err != nil || number < 0 {
			o.fault = fmt.Errorf("%q is no object identifier: write it as 1.3.6.1.4.1.1", text)
		}
		o.Numbers = append(o.Numbers, number)
	}
	if len(o.Numbers) < 2 {
		o.fault = fmt.Errorf("%q is no object identifier: write it as 1.3.6.1.4.1.1", text)
	}
	return nil
}

// Socket is the address of a stream socket, written in the syntax of Postfix or
// of Sendmail: unix:/path, local:/path, inet:host:port or inet:port@host. Its
// fields are for net.Dial and net.Listen; the zero value is no socket.
type Socket struct {
	Network string // "unix" or "tcp"
	Address string
	fault   error
}

// UnmarshalText reads a socket's address.
func (s *Socket) UnmarshalText(text []byte) error {
	family, rest, _ := strings.Cut(string(text), ":")
	s.fault = nil
	switch {
	case (family == "unix" || family == "local") && rest != "":
		s.Network, s.Address = "unix", rest
	case family == "inet":
		s.Network = "tcp"
		s.Address, s.fault = inetAddress(rest)
	default:
		s.fault = errors.New("no socket")
	}
	if s.fault != nil {
		*s = Socket{}
		s.fault = fmt.Errorf("%q is no socket: write unix:/path, inet:host:port or inet:port@host", text)
	}
	return nil
}

// String is the socket in Postfix's syntax; empty for the zero value.
func (s Socket) String() string {
	switch s.Network {
	case "unix":
		return "unix:" + s.Address
	case "tcp":
		return "inet:" + s.Address
	}
	return ""
}

// inetAddress reads host:port, or Sendmail's port@host.
func inetAddress(text string) (string, error) {
	if port, host, found := strings.Cut(text, "@"); found {
		text = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	host, _, err := splitHostPort(text)
	if err != nil || host == "" {
		return "", fmt.Errorf("%q has no host and port", text)
	}
	return text, nil
}

// splitHostPort also checks that the port is a number.
func splitHostPort(address string) (host string, port uint64, err error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.ParseUint(digits, 10, 16)
	if err == nil && port == 0 {
		err = errors.New("port 0")
	}
	return host, port, err
}
