package live

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A world is a fleet of two processes with Redis, NATS and the emulator, and a third process that
// has nothing to do with them but that Prometheus scrapes it too: it has a certificate, and may be
// another version, or gone.
type world struct {
	t        *testing.T
	nc       *nats.Conn
	broker   *broker
	links    []*link // of the fleet's processes
	redis    *process
	settings map[string]string // of a crmbridge beside the emulator
	emulator string            // its address
	programs [2]string         // two versions of crmbridge
	targets  []string          // whose /metrics Prometheus reads: the fleet's, and the one apart

	apart       *process
	certificate string // the file of the process apart

	mu     sync.Mutex
	faults map[string]string // of the emulator, as JSON, by name
}

const keptApart = 2 // among the targets

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, faults: map[string]string{}}
	w.programs = [2]string{build(t, "crmbridge", revision+"one"), build(t, "crmbridge", revision+"two")}
	w.broker = startBroker(t)
	redisPort := freePort(t)
	w.redis = start(t, "redis-server", nil, "redis-server", "--port", fmt.Sprint(redisPort),
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", t.TempDir())
	w.startEmulator()
	w.settings["REDIS_URL"] = "redis://" + loopback(redisPort) + "/0"
	w.settings["BUS_COMPLETION"] = "true"
	w.settings["USER_CONCURRENCY"] = "4"
	w.settings["RESULTS_MAX_BYTES"] = "64MiB"
	w.settings["MEMORY_BUDGET"] = "256MiB"
	w.settings["LOG_LEVEL"], w.settings["LOG_FORMAT"] = "info", "json"
	w.settings["APP_CONNECTIONS_FILE"] = write(t, filepath.Join(t.TempDir(), "app.json"),
		fmt.Appendf(nil, `[{"connection":%q,"environment_url":%q}]`, appConnection, w.emulator))
	for i := range 2 {
		w.links = append(w.links, startLink(t, loopback(w.broker.port)))
		admin := loopback(freePort(t))
		w.targets = append(w.targets, admin)
		w.serve(fmt.Sprintf("crmbridge %d", i+1), w.programs[0], map[string]string{"ADMIN_ADDR": admin,
			"NATS_URL": natsURL(fleetUser, w.links[i].port())})
	}
	w.targets = append(w.targets, loopback(freePort(t)))
	w.certificate = filepath.Join(t.TempDir(), "client.pem")
	w.certify(365 * 24 * time.Hour)
	w.startApart(w.programs[0])
	w.connectNATS()
	return w
}

// startEmulator starts crmbridge-dev for its Entra ID and Dataverse.
func (w *world) startEmulator() {
	t := w.t
	dev := start(t, "crmbridge-dev", os.Environ(), build(t, "crmbridge-dev", ""),
		"--no-consumer", "--auto-consent", "--accounts=500",
		"--nats-port=0", "--redis-port=0", "--emulator-port=0", "--http-port=0", "--admin-port=0", "--console-port=0",
		"--limit-requests=-1", "--limit-concurrent=-1", "--limit-execution=-1s")
	await(t, "crmbridge-dev", func() error {
		w.settings = map[string]string{}
		for _, match := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(dev.out.String(), -1) {
			w.settings[match[1]] = match[2]
		}
		if w.settings["DYNAMICS_ALLOW_HTTP"] == "" { // the last one
			return errors.New("no settings yet")
		}
		return nil
	})
	w.emulator = w.settings["ENTRA_AUTHORITY_URL"]
}

// serve starts a crmbridge with the settings of the world but for some, and waits until it is ready.
// A setting of "" is left out.
func (w *world) serve(name, program string, but map[string]string) *process {
	env := []string{"PATH=" + os.Getenv("PATH"), "HTTP_ADDR=" + loopback(freePort(w.t))}
	for name, value := range w.settings {
		if other, ok := but[name]; ok {
			value = other
		}
		if value != "" && name != "HTTP_ADDR" {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range but {
		if _, there := w.settings[name]; !there {
			env = append(env, name+"="+value)
		}
	}
	p := start(w.t, name, env, program, "serve")
	await(w.t, name, func() error {
		select {
		case <-p.done:
			w.t.Fatalf("%s ended: %s", name, p.out.tail(3000))
		default:
		}
		return ok(http.Get("http://" + but["ADMIN_ADDR"] + "/readyz"))
	})
	return p
}

// startApart starts the process apart: an account and a part of Redis of its own, so that it takes no
// request of the fleet's and renews no token, and a certificate.
func (w *world) startApart(program string) {
	database := strings.TrimSuffix(w.settings["REDIS_URL"], "0") + "1"
	w.apart = w.serve("crmbridge apart", program, map[string]string{"ADMIN_ADDR": w.targets[keptApart],
		"NATS_URL": natsURL(apartUser, w.broker.port), "REDIS_URL": database,
		"ENTRA_CLIENT_SECRET": "", "ENTRA_CLIENT_CERTIFICATE_FILE": w.certificate})
}

// restartApart replaces the process apart, by another version perhaps.
func (w *world) restartApart(program string) {
	w.apart.end(syscall.SIGTERM)
	w.startApart(program)
}

// certify gives the process apart a certificate that is valid for so long.
func (w *world) certify(valid time.Duration) {
	t := w.t
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject: pkix.Name{CommonName: "crmbridge"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.certificate, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...))
}

func (w *world) connectNATS() {
	nc, err := nats.Connect(natsURL(requesterUser, w.broker.port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.nc = nc
	w.t.Cleanup(nc.Close)
}

// control asks something of the emulator.
func (w *world) control(command, body string) {
	w.t.Helper()
	if err := ok(http.Post(w.emulator+"/_emulator/"+command, "application/json", strings.NewReader(body))); err != nil {
		w.t.Errorf("emulator: %s: %v", command, err)
	}
}

// fail has the emulator fail, in one of the ways of [emulator.Fault], until it is mended.
func (w *world) fail(name, fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[name] = fault
	w.control("fail", fault)
}

// mend takes one of the emulator's faults back, which knows to take all.
func (w *world) mend(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.faults, name)
	w.control("clear", "")
	for _, fault := range w.faults {
		w.control("fail", fault)
	}
}

// ok is nil for an answer with status 200, which is thrown away.
func ok(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return err
}

// metrics is what a process tells Prometheus.
func (w *world) metrics(target string) string {
	w.t.Helper()
	response, err := http.Get("http://" + target + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// installed skips the test where a program is missing, in words that .ci/deploy repeats.
func installed(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT RUN: alerts and dashboards against a running fleet: %s is not installed", program)
		}
	}
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
