package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop drives all connections from one thread with epoll: Go's own timers may be a millisecond late, which
// is more than what is measured here.
type loop struct {
	address  string
	to       unix.Sockaddr
	epoll    int
	byFD     map[int]*conn
	free     []*conn
	requests [][]byte
	inTurn   bool
	saturate bool // the schedule's length holds, its rate does not
	chunk    [4096]byte

	start    time.Time
	finished time.Time
	freed    time.Time // when there last began to be a free connection
	phases   []phase
	total    int
	next     int // the first request of the schedule that has not been sent
	done     int
	received int
	closed   int
	status   []int           // of each request's reply; 0: none came
	since    []time.Duration // from when each is counted, after the start: when it was due
	latency  []time.Duration // of each from then to its reply
	lag      []time.Duration // of each that was sent
	refusals map[string]int  // replies other than 2xx, without their date
}

// phase is a part of the schedule with a rate of its own: requests first to last-1, from begin after the start.
type phase struct {
	rate          float64
	first, last   int
	begin, length time.Duration
	interval      time.Duration
}

const differentRefusals = 20 // of so many different ones each is counted

func newLoop(address string, requests []string, connections int) (*loop, error) {
	to, err := resolve(address)
	if err != nil {
		return nil, err
	}
	l := &loop{address: address, to: to, byFD: make(map[int]*conn, connections), refusals: make(map[string]int)}
	for _, request := range requests {
		l.requests = append(l.requests, []byte(request))
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for range connections {
		c := &conn{}
		if err := l.connect(c); err != nil {
			return nil, err
		}
		l.free = append(l.free, c)
	}
	return l, nil
}

// connect opens a connection, again where the server has closed it.
func (l *loop) connect(c *conn) (err error) {
	if c.fd, err = dial(l.to); err != nil {
		return fmt.Errorf("connect to %s: %w", l.address, err)
	}
	l.byFD[c.fd] = c
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)})
}

// add puts a phase at the end of the schedule.
func (l *loop) add(rate, seconds float64) {
	p := phase{rate: rate, first: l.total, last: l.total + int(math.Round(rate*seconds))}
	p.interval = time.Duration(float64(time.Second) / rate)
	p.length = time.Duration(p.last-p.first) * p.interval
	if n := len(l.phases); n > 0 {
		p.begin = l.phases[n-1].begin + l.phases[n-1].length
	}
	l.phases, l.total = append(l.phases, p), p.last
	l.status = make([]int, l.total)
	l.since = make([]time.Duration, l.total)
	l.latency = make([]time.Duration, l.total)
	l.lag = make([]time.Duration, l.total)
}

// due returns when a request is to be sent, after the start.
func (l *loop) due(ticket int) time.Duration {
	at := 0
	for at < len(l.phases)-1 && ticket >= l.phases[at].last {
		at++
	}
	p := l.phases[at]
	return p.begin + time.Duration(ticket-p.first)*p.interval
}

// drive runs the schedule, then waits up to grace for the last replies.
func (l *loop) drive(grace time.Duration) error {
	l.start = time.Now()
	l.freed = l.start
	stop := l.due(l.total)
	end := stop + grace
	events := make([]unix.EpollEvent, 256)
	for l.done < l.total {
		now := time.Now()
		if l.saturate && now.Sub(l.start) > stop {
			l.total, l.phases[0].last = l.next, l.next
		}
		if now.Sub(l.start) > end {
			break
		}
		if err := l.sendDue(now); err != nil {
			return err
		}
		wait := end
		if l.next < l.total && len(l.free) > 0 {
			wait = l.due(l.next)
		}
		n, err := l.wait(events, wait-time.Since(l.start))
		if err != nil {
			return fmt.Errorf("epoll_pwait2: %w", err)
		}
		for _, event := range events[:n] {
			if c := l.byFD[int(event.Fd)]; c != nil {
				if err := l.ready(c); err != nil {
					return err
				}
			}
		}
	}
	l.finished = time.Now()
	return nil
}

// wait returns how many connections have something to read. It is a raw system call, as are write and read:
// told of each, Go's scheduler would wake a second thread for it and cost more than the requests themselves.
func (l *loop) wait(events []unix.EpollEvent, most time.Duration) (int, error) {
	timeout := unix.NsecToTimespec(int64(max(most, 0)))
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (l *loop) sendDue(now time.Time) error {
	after := now.Sub(l.start)
	for l.next < l.total && len(l.free) > 0 && (l.saturate || after >= l.due(l.next)) {
		c := l.take()
		c.ticket, c.busy = l.next, true
		c.unsent, c.reply = l.requests[l.next%len(l.requests)], c.reply[:0]
		l.since[c.ticket] = l.due(c.ticket)
		if l.saturate {
			l.since[c.ticket] = after
		}
		// Late is this program only from when there was a connection to send on.
		l.lag[c.ticket] = min(after-l.since[c.ticket], now.Sub(l.freed))
		l.next++
		err := c.write()
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			err = l.ended(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take returns a free connection: the one used last, as a pool would, or the one that has been idle longest.
func (l *loop) take() (c *conn) {
	if l.inTurn {
		c, l.free = l.free[0], l.free[1:]
		return c
	}
	last := len(l.free) - 1
	c, l.free = l.free[last], l.free[:last]
	return c
}

// release makes a connection free again.
func (l *loop) release(c *conn) {
	c.busy = false
	l.done++
	if len(l.free) == 0 {
		l.freed = time.Now()
	}
	l.free = append(l.free, c)
}

func (l *loop) ready(c *conn) error {
	n, err := rawIO(unix.SYS_READ, c.fd, l.chunk[:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil, n == 0:
		return l.ended(c)
	}
	c.reply = append(c.reply, l.chunk[:n]...)
	l.received += n
	status, whole, err := parse(c.reply)
	if err != nil || !whole {
		return err
	}
	l.latency[c.ticket], l.status[c.ticket] = time.Since(l.start)-l.since[c.ticket], status
	if status/100 != 2 {
		l.refused(string(date.ReplaceAll(c.reply, nil)))
	}
	l.release(c)
	return nil
}

// ended opens a connection anew that the server closed; the request it carried stays without a reply.
func (l *loop) ended(c *conn) error {
	l.closed++
	delete(l.byFD, c.fd)
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := l.connect(c); err != nil {
		return err
	}
	if c.busy {
		l.release(c)
	}
	return nil
}

func (l *loop) refused(reply string) {
	if _, known := l.refusals[reply]; known || len(l.refusals) < differentRefusals {
		l.refusals[reply]++
	}
}

var date = regexp.MustCompile(`(?m)^Date: .*\r\n`)
