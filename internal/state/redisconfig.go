package state

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig says where Redis is and who asks.
type RedisConfig struct {
	// Addresses are host:port, or the path of a unix socket. With Master they are
	// Sentinels; without it, one is a server and several are of a Cluster.
	Addresses []string
	Master    string // name that the Sentinels know the master by; empty: no Sentinels
	// User and the password in PasswordFile, alone on its line, are for Redis;
	// Sentinels get none. Empty: no user (of Redis 5), no password.
	User, PasswordFile string
	// CA has the authorities that the servers' certificates come from, in PEM, those
	// of Sentinels too; empty: no TLS. Certificate and Key are our own, where they
	// ask for one.
	CA, Certificate, Key string
	Database             int    // not 0 only where it is no Cluster
	Prefix               string // of all keys
}

// serverTime bounds a connection, a write and a read. What was not answered is
// tried again twice, within answerTime: a fail-over needs it.
const serverTime = 2 * time.Second

// options are those of the client library that differ from its defaults. With
// protocol 2 it sends nothing that the user of contrib/redis may not.
func (c *RedisConfig) options() (*redis.UniversalOptions, error) {
	password, err := c.password()
	if err != nil {
		return nil, err
	}
	secured, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.Master, DB: c.Database,
		Username: c.User, Password: password, TLSConfig: secured,
		DialTimeout: serverTime, ReadTimeout: serverTime, WriteTimeout: serverTime,
		MaxRetries: 2, DialerRetries: 1, ContextTimeoutEnabled: true,
		Protocol: 2, DisableIdentity: true,
	}, nil
}

func (c *RedisConfig) password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	content, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("redis.password_file: %w", err)
	}
	password := bytes.TrimSpace(content)
	if len(password) == 0 {
		return "", fmt.Errorf("redis.password_file: %s is empty: write the password of the user into it, alone", c.PasswordFile)
	}
	return string(password), nil
}

// tls is nil without CA. The name in a server's certificate is the host that was
// connected to; from Sentinels and a Cluster that is mostly an IP address.
func (c *RedisConfig) tls() (*tls.Config, error) {
	if c.CA == "" {
		return nil, nil
	}
	content, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("redis.tls_ca: %w", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("redis.tls_ca: %s has no certificate in PEM", c.CA)
	}
	if c.Certificate != "" {
		own, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("redis.tls_certificate %s, redis.tls_key %s: %w", c.Certificate, c.Key, err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}
