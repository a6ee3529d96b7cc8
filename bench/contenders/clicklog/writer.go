package clicklog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The flush policy: a timer, or a full batch, whichever comes first.
const (
	QueueSize     = 100_000
	FlushInterval = 200 * time.Millisecond
	FlushEvents   = 5000
)

// Writer takes events from a channel and writes them to a rotating NDJSON file by a timer.
type Writer struct {
	events chan Event
	done   chan error
	dir    string
	limit  int64

	file    *os.File
	buffer  *bufio.Writer
	written int64
	serial  int
}

// Start opens the first file in dir; a file is closed and the next one opened at limit bytes.
func Start(dir string, limit int64) (*Writer, error) {
	w := &Writer{events: make(chan Event, QueueSize), done: make(chan error, 1), dir: dir, limit: limit}
	if err := w.open(); err != nil {
		return nil, err
	}
	go func() { w.done <- w.loop() }()
	return w, nil
}

// Put queues an event; false means that the queue is full and the caller must refuse.
func (w *Writer) Put(event Event) bool {
	select {
	case w.events <- event:
		return true
	default:
		return false
	}
}

// Close writes what is queued and closes the file; no Put may follow.
func (w *Writer) Close() error {
	close(w.events)
	return <-w.done
}

func (w *Writer) loop() error {
	ticker := time.NewTicker(FlushInterval)
	defer ticker.Stop()
	batch := make([]Event, 0, FlushEvents)
	for {
		select {
		case event, open := <-w.events:
			if !open {
				if err := w.flush(batch); err != nil {
					return err
				}
				return w.file.Close()
			}
			if batch = append(batch, event); len(batch) < FlushEvents {
				continue
			}
		case <-ticker.C:
		}
		if err := w.flush(batch); err != nil {
			fmt.Fprintln(os.Stderr, "flush:", err)
			os.Exit(1)
		}
		clear(batch)
		batch = batch[:0]
	}
}

func (w *Writer) flush(batch []Event) error {
	for i := range batch {
		line, err := json.Marshal(&batch[i])
		if err != nil {
			return err
		}
		w.buffer.Write(line)
		w.buffer.WriteByte('\n')
		w.written += int64(len(line)) + 1
	}
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	if w.written < w.limit {
		return nil
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	return w.open()
}

func (w *Writer) open() (err error) {
	w.serial++
	name := fmt.Sprintf("clicks-%s-%d.ndjson", time.Now().UTC().Format("20060102T150405"), w.serial)
	w.file, err = os.OpenFile(filepath.Join(w.dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	w.buffer, w.written = bufio.NewWriterSize(w.file, 1<<16), 0
	return err
}
