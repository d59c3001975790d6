package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pec-milter/pec-milter/internal/point"
)

var _ point.State = (*RedisStore)(nil)

// RedisStore is the state on Redis as one process sees it, shared by all nodes.
// It is safe for concurrent use. All its errors are temporary, and come in a
// few seconds where Redis does not answer. Close it.
//
// Redis may forget all of it, or its last second. Who can write there can hold
// mail up, as whoever can stop Redis can, and nothing else: what is done is asked of
// the database.
type RedisStore struct {
	client redis.UniversalClient
	where  string // for errors
	prefix string
	node   string // hash of its name
	now    func() time.Time
	log    *slog.Logger
	start  atomic.Int64 // of the node: tells its processes apart; 0: Begin has not succeeded yet
	leases atomic.Int64 // taken by this process: tells its leases apart
	left   leftLeases   // those that nobody holds, and that Redis may have
}

// OpenRedis reads the files that c names and prepares the connections; Redis
// is not asked yet. What could not be said to a caller goes to log, and so does,
// from the whole process, what the client library has to say.
func OpenRedis(c RedisConfig, node string, now func() time.Time, log *slog.Logger) (*RedisStore, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(libraryLog{log})
	return &RedisStore{
		client: redis.NewUniversalClient(options), where: strings.Join(c.Addresses, ", "), prefix: c.Prefix,
		node: fmt.Sprintf("%x", sha256.Sum256([]byte(node))), now: now, log: log,
	}, nil
}

// Close closes the connections.
func (s *RedisStore) Close() error { return s.client.Close() }

// answerTime bounds one question to Redis, tries again and fail-over included.
const answerTime = 5 * time.Second

// redisFormat is that of our keys and their values. A Redis that has another one is
// refused: nodes that do not see each other's leases must not work side by side.
const redisFormat = "1"

// keepFormat is how long the format is known after the last start of a node.
const keepFormat = 365 * 24 * time.Hour

// formatScript gives the format of what is there; it is ours where nothing is.
var formatScript = redis.NewScript(`
local format = redis.call('GET', KEYS[1])
if format and format ~= ARGV[1] then return format end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`)

// checkFormat refuses a Redis that nodes of another format work with, or did.
func (s *RedisStore) checkFormat(ctx context.Context) error {
	found, err := formatScript.Run(ctx, s.client, []string{s.prefix + "format"},
		redisFormat, keepFormat.Milliseconds()).Text()
	if err != nil {
		return fmt.Errorf("asking for its format: %w", err)
	}
	if found != redisFormat {
		return fmt.Errorf("its state has format %.20q, this program has format %s: stop all nodes of the other version, "+
			"then delete the keys %s* or set another redis.prefix; what they hold may be forgotten", found, redisFormat, s.prefix)
	}
	return nil
}

// keepStart is how long a node's last start is known. Its leases are gone long before.
const keepStart = 30 * 24 * time.Hour

// beginScript gives the start of a node's next process: the clock, in
// microseconds, so that it grows where Redis has forgotten the last one; and
// more than the last one, so that it grows where the clock was put back.
// (A number over 2^53 would not be one of ours: Lua cannot count it.)
var beginScript = redis.NewScript(`
local last = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local start = tonumber(ARGV[1])
if last >= start and last < 2^53 - 1 then start = last + 1 end
start = string.format('%.0f', start)
redis.call('SET', KEYS[1], start, 'PX', ARGV[2])
return start`)

// Begin starts the node's next process: leases that the node's processes held
// before are free, as Open says. It need not be called: the first Lease does
// it too. Called at the start it tells whether Redis answers.
func (s *RedisStore) Begin(ctx context.Context) error {
	if s.start.Load() != 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := s.checkFormat(ctx); err != nil {
		return fmt.Errorf("starting node on Redis %s: %w", s.where, err)
	}
	start, err := beginScript.Run(ctx, s.client, []string{s.prefix + "node:" + s.node},
		s.now().UnixMicro(), keepStart.Milliseconds()).Int64()
	if err != nil {
		return fmt.Errorf("starting node on Redis %s: %w", s.where, err)
	}
	s.start.CompareAndSwap(0, start) // or another first Lease was faster
	return nil
}

// leaseScript takes a lease that nobody holds, that an earlier process of this
// node holds, that is this very one (the answer to the first try was lost), or
// that this process has left behind (ARGV from the fifth on).
var leaseScript = redis.NewScript(`
local node, start, number = ARGV[1], ARGV[2], ARGV[3]
local own = node .. ' ' .. start .. ' ' .. number
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= own then
	local other, before = string.match(holder, '^(%x+) (%d+) %d+$')
	local free = other == node and tonumber(before) < tonumber(start)
	for n = 5, #ARGV do free = free or holder == ARGV[n] end
	if not free then return 0 end
end
redis.call('SET', KEYS[1], own, 'PX', ARGV[4])
return 1`)

// Lease takes key for at most ttl by the clock of Redis, until the returned
// function is called; ok is false while somebody else, in this process too,
// holds it. After ttl anybody may take it; the function then frees nothing. It
// may be called more than once.
func (s *RedisStore) Lease(ctx context.Context, key point.Key, ttl time.Duration) (release func(), ok bool, err error) {
	if ttl <= 0 {
		return nil, false, fmt.Errorf("lease of %x for %v: must be for longer than 0", key, ttl)
	}
	if err := s.Begin(ctx); err != nil {
		return nil, false, err
	}
	asked, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	start, number := s.start.Load(), s.leases.Add(1)
	milliseconds := (ttl + time.Millisecond - 1).Milliseconds() // 0 would be an error
	holder := fmt.Sprintf("%s %d %d", s.node, start, number)
	arguments := append([]any{s.node, start, number, milliseconds}, s.left.of(key)...)
	ok, err = leaseScript.Run(asked, s.client, []string{s.name("lease", key)}, arguments...).Bool()
	if err != nil {
		s.left.add(key, holder, ttl) // Redis may have it all the same, or take it later
	}
	if err != nil || !ok {
		return nil, false, s.fault("taking the lease of", key, err)
	}
	ctx = context.WithoutCancel(ctx)
	return sync.OnceFunc(func() { s.release(ctx, key, holder, ttl) }), true, nil
}

var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)

// release frees key if this very lease still holds it. If it cannot, this process
// may take it again; for others the lease runs out by its time.
func (s *RedisStore) release(ctx context.Context, key point.Key, holder string, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := releaseScript.Run(ctx, s.client, []string{s.name("lease", key)}, holder).Err(); err != nil {
		s.left.add(key, holder, ttl)
		s.log.WarnContext(ctx, "lease not released, it runs out by its time", "key", fmt.Sprintf("%x", key), "error", err)
	}
}

// ErrNotAllowed means that Redis answers, but our user may not ask for settings.
var ErrNotAllowed = errors.New("our user of Redis may not ask for settings")

// Settings gives settings of Redis by their names, of a Cluster those of any one
// server; what it does not know is left out. ErrNotAllowed for the user of
// contrib/redis: passwords are settings too.
func (s *RedisStore) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	settings := map[string]string{}
	for _, name := range names {
		found, err := s.client.ConfigGet(ctx, name).Result()
		if redis.HasErrorPrefix(err, "NOPERM") {
			err = fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
		if err != nil {
			return nil, fmt.Errorf("asking Redis %s for %s: %w", s.where, name, err)
		}
		maps.Copy(settings, found)
	}
	return settings, nil
}

// Answers tells whether Redis answers, and lets our user read our keys.
func (s *RedisStore) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := s.client.Get(ctx, s.prefix+"format").Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("asking Redis %s for its format: %w", s.where, err)
	}
	return nil
}

// name is the key in Redis: of fixed length, and under the prefix that the
// user of pec-milter is held to.
func (s *RedisStore) name(use string, key point.Key) string {
	return fmt.Sprintf("%s%s:%x", s.prefix, use, key)
}

// fault is nil if err is.
func (s *RedisStore) fault(doing string, key point.Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %x on Redis %s: %w", doing, key, s.where, err)
}

// libraryLog takes what the client library says of its connections.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, values ...any) {
	l.log.WarnContext(ctx, "Redis client", "text", fmt.Sprintf(format, values...))
}
