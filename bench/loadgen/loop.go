package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// conn is one keep-alive connection with at most one request on its way.
type conn struct {
	fd     int
	busy   bool
	since  time.Time // when its request was due
	unsent []byte
	reply  []byte
}

// loop drives all connections from one thread with epoll: Go's own timers may be a millisecond late, which
// is more than what is measured here.
type loop struct {
	epoll    int
	all      []*conn
	byFD     map[int]*conn
	free     []*conn
	requests [][]byte
	inTurn   bool
	saturate bool // the schedule's length holds, its rate does not
	chunk    [4096]byte

	start    time.Time
	finished time.Time
	freed    time.Time // when there last began to be a free connection
	interval time.Duration
	total    int
	next     int // the first request of the schedule that has not been sent
	done     int
	ok       int
	not2xx   int
	received int
	latency  []time.Duration
	lag      []time.Duration
}

func newLoop(address string, requests []string, connections int) (*loop, error) {
	to, err := resolve(address)
	if err != nil {
		return nil, err
	}
	l := &loop{byFD: make(map[int]*conn, connections)}
	for _, request := range requests {
		l.requests = append(l.requests, []byte(request))
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for range connections {
		fd, err := dial(to)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		c := &conn{fd: fd}
		l.all, l.free = append(l.all, c), append(l.free, c)
		l.byFD[fd] = c
		if err := l.watch(fd); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func resolve(address string) (unix.Sockaddr, error) {
	if path, found := strings.CutPrefix(address, "unix:"); found {
		return &unix.SockaddrUnix{Name: path}, nil
	}
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}, nil
}

func dial(to unix.Sockaddr) (int, error) {
	family := unix.AF_UNIX
	if _, tcp := to.(*unix.SockaddrInet4); tcp {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, to); err != nil {
		return 0, err
	}
	if family == unix.AF_INET {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return 0, err
		}
	}
	return fd, unix.SetNonblock(fd, true)
}

func (l *loop) watch(fd int) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (l *loop) plan(total int, interval time.Duration) {
	l.total, l.interval = total, interval
	l.latency = make([]time.Duration, 0, total)
	l.lag = make([]time.Duration, 0, total)
}

func (l *loop) due(ticket int) time.Time { return l.start.Add(time.Duration(ticket) * l.interval) }

// drive runs the schedule, then waits up to grace for the last replies.
func (l *loop) drive(grace time.Duration) error {
	l.start = time.Now()
	l.freed = l.start
	stop := l.due(l.total)
	end := stop.Add(grace)
	events := make([]unix.EpollEvent, 256)
	for l.done < l.total {
		now := time.Now()
		if now.After(end) {
			break
		}
		if l.saturate && now.After(stop) {
			l.total = l.next
		}
		if err := l.sendDue(now); err != nil {
			return err
		}
		wait := end
		if l.next < l.total && len(l.free) > 0 {
			wait = l.due(l.next)
		}
		n, err := l.wait(events, time.Until(wait))
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

func rawIO(call uintptr, fd int, data []byte) (int, error) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (l *loop) sendDue(now time.Time) error {
	for l.next < l.total && len(l.free) > 0 && (l.saturate || !now.Before(l.due(l.next))) {
		c := l.take()
		c.since, c.busy = l.due(l.next), true
		if l.saturate {
			c.since = now
		}
		c.unsent, c.reply = l.requests[l.next%len(l.requests)], c.reply[:0]
		// Late is this program only from when there was a connection to send on.
		l.lag = append(l.lag, min(now.Sub(c.since), now.Sub(l.freed)))
		l.next++
		if err := c.write(); err != nil {
			return err
		}
	}
	return nil
}

// take returns a free connection: the one used last, as a pool would, or the one that has been idle longest.
func (l *loop) take() *conn {
	if l.inTurn {
		c := l.free[0]
		l.free = l.free[1:]
		return c
	}
	at := len(l.free) - 1
	c := l.free[at]
	l.free = l.free[:at]
	return c
}

// write sends what it can; a request is smaller than a socket's buffer, so a second round is never needed.
func (c *conn) write() error {
	n, err := rawIO(unix.SYS_WRITE, c.fd, c.unsent)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if n < len(c.unsent) {
		return fmt.Errorf("send: only %d of %d bytes fitted the socket's buffer", n, len(c.unsent))
	}
	return nil
}

func (l *loop) ready(c *conn) error {
	n, err := rawIO(unix.SYS_READ, c.fd, l.chunk[:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n == 0:
		return errors.New("the server closed a keep-alive connection")
	}
	c.reply = append(c.reply, l.chunk[:n]...)
	l.received += n
	status, whole, err := parse(c.reply)
	if err != nil || !whole {
		return err
	}
	l.latency = append(l.latency, time.Since(c.since))
	l.done++
	if status/100 == 2 {
		l.ok++
	} else {
		l.not2xx++
	}
	c.busy = false
	if len(l.free) == 0 {
		l.freed = time.Now()
	}
	l.free = append(l.free, c)
	return nil
}

// parse reads the status of a reply and whether it is complete: by Content-Length or by its last chunk.
func parse(reply []byte) (status int, whole bool, err error) {
	head, body, found := bytes.Cut(reply, []byte("\r\n\r\n"))
	if !found {
		return 0, false, nil
	}
	if len(head) < 12 {
		return 0, false, fmt.Errorf("not HTTP: %q", head)
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, false, fmt.Errorf("not HTTP: %q", head)
	}
	if status == 204 || status == 304 {
		return status, true, nil
	}
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return status, len(body) >= length, err
		}
	}
	return status, bytes.HasSuffix(body, []byte("0\r\n\r\n")), nil
}
