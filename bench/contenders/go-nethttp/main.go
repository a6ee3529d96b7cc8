// go-nethttp is the design ingestd descends from: net/http on a Unix socket, a channel, a ticker, a file.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"ingestd/bench/contenders/clicklog"
)

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to listen on")
	dir := flag.String("dir", ".", "where the files go")
	rotate := flag.Int64("rotate", 512<<20, "bytes at which a file is closed and the next one opened")
	flag.Parse()
	writer, err := clicklog.Start(*dir, *rotate)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler(writer), ReadTimeout: time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		log.Print("shutdown: ", err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}

func handler(writer *clicklog.Writer) http.HandlerFunc {
	ok := []byte("ok")
	return func(reply http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(reply, r.Body, 1<<20))
		if err != nil {
			http.Error(reply, "body", http.StatusRequestEntityTooLarge)
			return
		}
		event, known := clicklog.Build(clicklog.Request{
			Method: r.Method, URI: r.RequestURI, ClientIP: r.Header.Get("X-Real-Ip"),
			ForwardedFor: r.Header.Get("X-Forwarded-For"), UserAgent: r.Header.Get("User-Agent"),
			ContentType: r.Header.Get("Content-Type"), Body: body,
		})
		switch {
		case !known:
			http.NotFound(reply, r)
		case !writer.Put(event):
			http.Error(reply, "busy", http.StatusServiceUnavailable)
		default:
			reply.Write(ok)
		}
	}
}
