package bridge

import (
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A manager is the service manager that started the process and wants to hear how it is
// (Type=notify in deploy/crmbridge.service, sd_notify(3)). Without NOTIFY_SOCKET there is
// none, and nothing is said.
type manager struct {
	log  *slog.Logger
	quit chan struct{}
	done chan struct{} // closed when the watchdog has ended; nil without one
}

func newManager(log *slog.Logger) *manager { return &manager{log: log, quit: make(chan struct{})} }

// ready says that requests are answered, and from then on, twice in WatchdogSec where it is
// set, that the process runs: a process that is stopped or starved of CPU says it no more.
func (m *manager) ready() {
	m.say(daemon.SdNotifyReady)
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the service manager's watchdog is not served", "error", err)
	}
	if within == 0 {
		return
	}
	m.done = make(chan struct{})
	go func() {
		defer close(m.done)
		tick := time.NewTicker(within / 2)
		defer tick.Stop()
		for {
			select {
			case <-m.quit:
				return
			case <-tick.C:
				m.say(daemon.SdNotifyWatchdog)
			}
		}
	}()
}

// stopping says that the process ends; the watchdog goes on until close.
func (m *manager) stopping() { m.say(daemon.SdNotifyStopping) }

// close ends the watchdog.
func (m *manager) close() {
	close(m.quit)
	if m.done != nil {
		<-m.done
	}
}

func (m *manager) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager does not listen", "state", state, "error", err)
	}
}
