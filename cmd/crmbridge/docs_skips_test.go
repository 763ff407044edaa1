package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// skipped are the functions that skip tests for what a machine lacks, and why .ci/run does not do so
// in silence.
var skipped = map[string]string{
	"cmd/crmbridge-bench/fleet_test.go TestFleet":                                                redisServer,
	"cmd/internal/bridgetest/deployed.go RedisAdministrator":                                     redisServer,
	"cmd/internal/e2e/metadata_test.go TestLabelsWhileRedisIsAway":                               redisServer,
	"cmd/internal/e2e/moves_servers_test.go redisMoves":                                          redisServer,
	"cmd/internal/e2e/outage_test.go TestRedisGoesAwayAndComesBack":                              redisServer,
	"dynamics/throttle/cluster_test.go TestRedisCluster":                                         redisServer,
	"tokens/redis_test.go startRedis":                                                            redisServer,
	"tokens/servers_test.go redisProgram":                                                        redisServer,
	"cmd/internal/chromium/chromium.go Start":                                                    "CRMBRIDGE_TEST_CHROMIUM=required",
	"cmd/crmbridge/completion_shells_test.go startShell":                                         "CRMBRIDGE_TEST_SHELLS=required",
	"cmd/crmbridge/examples_test.go TestExamplesInHelpRunAsTyped":                                "CRMBRIDGE_TEST_SHELLS=required",
	"cmd/crmbridge/context_cli_test.go newNATSCLI":                                               "CRMBRIDGE_TEST_SHELL=required",
	"cmd/crmbridge/replace_unix_test.go TestKeysKeepTheirOwner":                                  "the last lines name root",
	"cmd/internal/e2e/examples_test.go absent":                                                   "variables, or the last lines",
	"messages/docs_examples_test.go TestDocumentsShowScriptsThatParse":                           node,
	"messages/typescript_test.go nodeTools":                                                      node,
	"dynamics/emulator/node_test.go nodeClient":                                                  node,
	"messages/examples_test.go TestExamplesParse":                                                "the last lines name python3",
	"cmd/internal/e2e/memory_budget_test.go TestAProcessHasACeiling":                             linux,
	"cmd/internal/e2e/memory_test.go TestAStreamOf50000RowsStaysSmall":                           linux,
	"cmd/internal/e2e/upgrade_fixture_test.go upgradeEmulator":                                   linux,
	"cmd/internal/e2e/growth_bench_test.go cpu":                                                  "for a benchmark",
	"cmd/internal/e2e/growth_bench_test.go look":                                                 "for a benchmark",
	"cmd/internal/e2e/upgrade_fixture_test.go TestWriteUpgradeFixture":                           "it writes what another test reads",
	"cmd/crmbridge/deploy_answers_test.go TestDeployedAnswersThatTakeTrueMinutes":                "CRMBRIDGE_TEST_SLOW_ANSWERS=required",
	"cmd/internal/bridge/settle_linux_internal_test.go TestASettledProcessHoldsLessOfItsProgram": "the last lines name the kernel",
}

const (
	redisServer = "CRMBRIDGE_TEST_REDIS=required"
	node        = "CRMBRIDGE_TEST_NODE=required, or the last lines name node"
	linux       = "it runs on Linux"
)

// foreseen are conditions of skips that .ci/run has both sides of: it runs no -short, and all tests
// without the race detector.
var foreseen = regexp.MustCompile(`testing\.Short\(\)|\braced\b|\bRaced\b|\b[rR]aceDetector\b`)

// CI skips no test in silence: whoever skips one for what a machine lacks says here how it comes to
// light there.
func TestSkipsAreAccountedFor(t *testing.T) {
	bridgetest.Unraced(t, "sources are read")
	found := map[string]bool{}
	for _, name := range filesOf(t, ".go") {
		if strings.HasPrefix(name, "deploy/check/") { // .ci/deploy lists what says NOT RUN
			continue
		}
		text := bridgetest.File(t, name)
		if !strings.Contains(text, ".Skip") || !strings.Contains(text, `"testing"`) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range file.Decls {
			if declared, is := function.(*ast.FuncDecl); is && skips(declared, text, file.FileStart) {
				found[name+" "+declared.Name.Name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if skipped[name] == "" {
			t.Errorf("%s skips tests: say in skipped how .ci/run comes to know", name)
		}
	}
	for name := range skipped {
		if !found[name] {
			t.Errorf("%s skips no tests any more", name)
		}
	}
}

// skips reports whether a function of a file that begins at start skips tests for something that is
// not foreseen. Fuzz targets may pass over inputs, and benchmarks are not run by .ci/run.
func skips(function *ast.FuncDecl, text string, start token.Pos) bool {
	if name := function.Name.Name; strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark") {
		return false
	}
	found := false
	var within []ast.Node
	ast.Inspect(function, func(node ast.Node) bool {
		if node == nil {
			within = within[:len(within)-1]
			return true
		}
		within = append(within, node)
		called, is := node.(*ast.SelectorExpr)
		if !is || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, called.Sel.Name) {
			return true
		}
		known := slices.ContainsFunc(within, func(outer ast.Node) bool {
			branch, is := outer.(*ast.IfStmt)
			return is && foreseen.MatchString(text[branch.Cond.Pos()-start:branch.Cond.End()-start])
		})
		found = found || !known
		return true
	})
	return found
}
