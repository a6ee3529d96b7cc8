// loadgen offers requests at a constant rate and does not hide queueing time: every latency is counted from
// the moment the schedule meant the request to be sent, whether or not a connection was free by then.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Report is printed as JSON; times are in milliseconds, lag is how late a request left this program.
type Report struct {
	Offered  float64 `json:"offered"`
	Seconds  float64 `json:"seconds"`
	Sent     int     `json:"sent"`
	OK       int     `json:"ok"`
	Not2xx   int     `json:"not_2xx"`
	Unsent   int     `json:"unsent"`
	NoReply  int     `json:"no_reply"`
	Achieved float64 `json:"achieved"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
	LagP99   float64 `json:"lag_p99_ms"`
	Received int     `json:"received"`
}

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to send: host:port or unix:path")
	requests := flag.String("requests", "", "JSON file: an array of complete HTTP/1.1 requests as text")
	rate := flag.Float64("rate", 1000, "requests per second")
	seconds := flag.Float64("seconds", 5, "how long the schedule is")
	connections := flag.Int("connections", 256, "keep-alive connections")
	inTurn := flag.Bool("in-turn", false, "use all connections alike, not rather those just used")
	saturate := flag.Bool("saturate", false, "no rate: each connection sends again once it has its reply")
	hold := flag.Bool("hold", false, "once connected print a line, and wait for one before anything is sent")
	grace := flag.Duration("grace", 2*time.Second, "how long to wait for replies after the schedule's end")
	flag.Parse()
	report, err := run(*address, *requests, *rate, *seconds, *connections, *inTurn, *saturate, *hold, *grace)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(address, file string, rate, seconds float64, connections int, inTurn, saturate, hold bool, grace time.Duration) (*Report, error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // nothing is allocated while the schedule runs but what it needs
	// The kernel may otherwise let a sleep last 50 µs longer, to wake fewer times.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("timer slack: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var requests []string
	if err := json.Unmarshal(text, &requests); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	loop, err := newLoop(address, requests, connections)
	if err != nil {
		return nil, err
	}
	loop.inTurn = inTurn
	total := int(math.Round(rate * seconds))
	loop.plan(total, time.Duration(float64(time.Second)/rate))
	loop.saturate = saturate
	if hold {
		fmt.Println("connected")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return nil, fmt.Errorf("waiting for the word to start: %w", err)
		}
	}
	if err := loop.drive(grace); err != nil {
		return nil, err
	}
	return loop.report(rate), nil
}

func (l *loop) report(rate float64) *Report {
	total := l.total
	elapsed := l.finished.Sub(l.start)
	r := &Report{Offered: rate, Seconds: elapsed.Seconds(), Sent: l.next, OK: l.ok, Not2xx: l.not2xx,
		Unsent: total - l.next, NoReply: l.next - l.ok - l.not2xx, Received: l.received}
	r.Achieved = float64(l.ok) / elapsed.Seconds()
	// What never left or never came back has waited at least until now, and counts as that.
	for i := l.next; i < total; i++ {
		l.latency = append(l.latency, l.finished.Sub(l.due(i)))
	}
	for _, c := range l.all {
		if c.busy {
			l.latency = append(l.latency, l.finished.Sub(c.since))
		}
	}
	slices.Sort(l.latency)
	slices.Sort(l.lag)
	r.P50, r.P99, r.P999 = quantile(l.latency, 0.5), quantile(l.latency, 0.99), quantile(l.latency, 0.999)
	r.Max, r.LagP99 = quantile(l.latency, 1), quantile(l.lag, 0.99)
	return r
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := min(int(q*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[at]) / float64(time.Millisecond)
}
