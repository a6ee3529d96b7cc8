// loadgen offers requests at given rates and does not hide queueing time: every latency is counted from the
// moment the schedule meant the request to be sent, whether or not a connection was free by then.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	address, requests, phases string
	rate, seconds             float64
	connections               int
	inTurn, saturate, hold    bool
	grace                     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.address, "address", "127.0.0.1:8080", "where to send: host:port or unix:path")
	flag.StringVar(&o.requests, "requests", "", "JSON file: an array of complete HTTP/1.1 requests as text")
	flag.Float64Var(&o.rate, "rate", 1000, "requests per second")
	flag.Float64Var(&o.seconds, "seconds", 5, "how long the schedule is")
	flag.StringVar(&o.phases, "phases", "", "RATExSECONDS,... in place of rate and seconds: one after the other")
	flag.IntVar(&o.connections, "connections", 256, "keep-alive connections")
	flag.BoolVar(&o.inTurn, "in-turn", false, "use all connections alike, not rather those just used")
	flag.BoolVar(&o.saturate, "saturate", false, "no rate: each connection sends again once it has its reply")
	flag.BoolVar(&o.hold, "hold", false, "once connected print a line, and wait for one before anything is sent")
	flag.DurationVar(&o.grace, "grace", 2*time.Second, "how long to wait for replies after the schedule's end")
	flag.Parse()
	report, err := run(o)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(o options) (*Report, error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // nothing is allocated while the schedule runs but what it needs
	// The kernel may otherwise let a sleep last 50 µs longer, to wake fewer times.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("timer slack: %w", err)
	}
	text, err := os.ReadFile(o.requests)
	if err != nil {
		return nil, err
	}
	var requests []string
	if err := json.Unmarshal(text, &requests); err != nil {
		return nil, fmt.Errorf("%s: %w", o.requests, err)
	}
	loop, err := newLoop(o.address, requests, o.connections)
	if err != nil {
		return nil, err
	}
	loop.inTurn, loop.saturate = o.inTurn, o.saturate
	if err := loop.plan(o); err != nil {
		return nil, err
	}
	if o.hold {
		fmt.Println("connected")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return nil, fmt.Errorf("waiting for the word to start: %w", err)
		}
	}
	if err := loop.drive(o.grace); err != nil {
		return nil, err
	}
	return loop.report(), nil
}

// plan makes the schedule.
func (l *loop) plan(o options) error {
	if o.phases == "" {
		l.add(o.rate, o.seconds)
		return nil
	}
	if o.saturate {
		return errors.New("-saturate knows no rate, so it takes no -phases")
	}
	for _, text := range strings.Split(o.phases, ",") {
		var rate, seconds float64
		if _, err := fmt.Sscanf(text, "%fx%f", &rate, &seconds); err != nil {
			return fmt.Errorf("phase %q is not RATExSECONDS: %w", text, err)
		}
		l.add(rate, seconds)
	}
	return nil
}
