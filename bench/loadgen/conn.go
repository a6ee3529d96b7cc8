package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// conn is one keep-alive connection with at most one request on its way.
type conn struct {
	fd     int
	busy   bool
	ticket int // which request of the schedule it carries
	unsent []byte
	reply  []byte
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

func rawIO(call uintptr, fd int, data []byte) (int, error) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
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
