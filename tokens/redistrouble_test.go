package tokens_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
)

type redisSays string

func (s redisSays) Error() string { return string(s) }
func (redisSays) RedisError()     {}

// What Redis 6 and 7 say, and the words for it. Nothing of a key or value is repeated.
func TestRedisTrouble(t *testing.T) {
	for says, want := range map[string]string{
		"READONLY You can't write against a read only replica. script: 18a4378f, on " +
			"@user_script:1.": "refuses writes: it is a replica",
		"ERR Error running script (call to f_18a4378f): @user_script:2: @user_script: 2: -READONLY You can't write against " +
			"a read ": "refuses writes: it is a replica",
		"OOM command not allowed when used memory > 'maxmemory'. script: 18a4378f, on " +
			"@user_script:1.": "refuses writes: its memory is full",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to " +
			"disk.": "refuses writes: it cannot save",
		"NOREPLICAS Not enough good replicas to write.": "refuses writes: too few replicas",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to " +
			"'no'.": "a replica that has lost its primary",
		"CLUSTERDOWN Hash slot not served": "its " +
			"cluster is down",
		"LOADING Redis is loading the dataset in memory": "it is " +
			"loading its data",
		"NOAUTH Authentication required.": "it " +
			"wants a password",
		"WRONGPASS invalid username-password pair or user is disabled.":    "refuses the user or password in REDIS_URL",
		"NOPERM this user has no permissions to run the 'evalsha' command": "refuses the command evalsha to this user",
		"NOPERM User bridge has no permissions to run the 'config|get' " +
			"command": "refuses the command config|get to this user",
		"NOPERM this user has no permissions to access one of the keys used as " +
			"arguments": "refuses the keys crmbridge:* to this user",
		"NOPERM this user has no permissions to access one of the channels used as " +
			"arguments": "refuses the channels crmbridge:* to this user",
		"ERR The user executing the script can't run this command or subcommand script: 18a4, on @user_script:1.": "inside " +
			"of a script to this user",
		"NOPERM No permissions to access a key 'secret'": "to " +
			"this user",
		"MOVED 1234 10.0.0.7:6379": "use " +
			"redis+cluster://",
		"BUSY Redis is busy running a script.": "busy " +
			"with a script",
		"ERR max number of clients reached": "maxclients is reached",
		"ERR secret": "Redis " +
			"answers with an error",
	} {
		got := tokens.RedisTrouble(fmt.Errorf("wrapped: %w", redisSays(says)))
		if !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%q: %q, want %q", says, got, want)
		}
	}
	for _, err := range []error{errors.New("READONLY not from Redis"), errors.New("dial tcp: connection refused")} {
		if got := tokens.RedisTrouble(err); got != "Redis cannot be reached" {
			t.Errorf("%v: %q", err, got)
		}
	}
}
