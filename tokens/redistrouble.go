package tokens

import (
	"errors"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisTroubles words the refusals of a Redis that answers, by the code that its
// errors begin with.
var redisTroubles = []struct{ code, words string }{
	{"READONLY", "Redis refuses writes: it is a replica; connect to the primary"},
	{"OOM", "Redis refuses writes: its memory is full; raise maxmemory"},
	{"MISCONF", "Redis refuses writes: it cannot save its data to disk"},
	{"NOREPLICAS", "Redis refuses writes: too few replicas are connected to it (min-replicas-to-write)"},
	{"MASTERDOWN", "Redis refuses commands: it is a replica that has lost its primary"},
	{"CLUSTERDOWN", "Redis refuses commands: its cluster is down, or does not serve all slots"},
	{"LOADING", "Redis refuses commands: it is loading its data"},
	{"NOAUTH", "Redis refuses commands: it wants a password, and REDIS_URL has none"},
	{"WRONGPASS", "Redis refuses the user or password in REDIS_URL"},
	{"MOVED", "Redis refuses keys: REDIS_URL names one server of a cluster; use redis+cluster://"},
	{"BUSY", "Redis refuses commands: it is busy with a script of somebody's"},
}

var (
	// deniedCommand and deniedOf find what an ACL refuses; inside of a script it says no more
	// than deniedInScript.
	deniedCommand  = regexp.MustCompile(`run the '([A-Za-z|-]{1,40})' command`)
	deniedOf       = regexp.MustCompile(`access one of the (keys|channels)`)
	deniedInScript = regexp.MustCompile(`(?i)user executing the script can't (run this command|access)`)
)

// RedisTrouble words why Redis did not do what it was asked: what it refuses where it
// answered, else that it cannot be reached. It repeats nothing that Redis says about
// keys or values.
func RedisTrouble(err error) string {
	const unreachable = "Redis cannot be reached"
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return unreachable
	}
	text := said.Error()
	for _, trouble := range redisTroubles {
		if hasCode(text, trouble.code) {
			return trouble.words
		}
	}
	const acl = "; deploy/README.md lists the permissions that crmbridge needs"
	switch command, of := deniedCommand.FindStringSubmatch(text), deniedOf.FindStringSubmatch(text); {
	case command != nil:
		return "Redis refuses the command " + command[1] + " to this user" + acl
	case of != nil:
		return "Redis refuses the " + of[1] + " crmbridge:* to this user" + acl
	case deniedInScript.MatchString(text), hasCode(text, "NOPERM"):
		return "Redis refuses a command inside of a script to this user" + acl
	case strings.Contains(text, "max number of clients"):
		return "Redis refuses connections: maxclients is reached"
	}
	return "Redis answers with an error"
}

// hasCode looks for a code at the beginning, and where Redis 6 and older have the
// error of a command inside of a script.
func hasCode(text, code string) bool {
	return strings.HasPrefix(text, code+" ") || strings.Contains(text, ": -"+code+" ")
}
