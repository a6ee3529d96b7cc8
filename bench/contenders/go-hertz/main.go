// go-hertz is go-nethttp's twin on CloudWeGo Hertz: the same events, queue and file behind another server.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/config"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/cloudwego/hertz/pkg/network"
	"github.com/cloudwego/hertz/pkg/network/netpoll"
	"github.com/cloudwego/hertz/pkg/network/standard"

	"ingestd/bench/contenders/clicklog"
)

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to listen on")
	dir := flag.String("dir", ".", "where the files go")
	rotate := flag.Int64("rotate", 512<<20, "bytes at which a file is closed and the next one opened")
	transport := flag.String("transport", "netpoll", "netpoll or standard")
	flag.Parse()
	writer, err := clicklog.Start(*dir, *rotate)
	if err != nil {
		log.Fatal(err)
	}
	hlog.SetOutput(io.Discard)
	transporters := map[string]func(*config.Options) network.Transporter{
		"netpoll": netpoll.NewTransporter, "standard": standard.NewTransporter,
	}
	h := server.New(
		server.WithNetwork("unix"), server.WithHostPorts(*socket), server.WithTransport(transporters[*transport]),
		server.WithMaxRequestBodySize(1<<20), server.WithReadTimeout(time.Minute),
		server.WithIdleTimeout(time.Minute), server.WithExitWaitTime(10*time.Second),
	)
	h.NoRoute(handler(writer))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		if err := h.Run(); err != nil {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(deadline); err != nil {
		log.Print("shutdown: ", err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}

// handler copies what it keeps: Hertz uses the request's buffers again once it returns.
func handler(writer *clicklog.Writer) app.HandlerFunc {
	ok, busy := []byte("ok"), []byte("busy")
	return func(_ context.Context, c *app.RequestContext) {
		body, err := c.Body()
		if err != nil {
			c.SetStatusCode(413)
			return
		}
		header := &c.Request.Header
		event, known := clicklog.Build(clicklog.Request{
			Method: string(header.Method()), URI: string(header.RequestURI()), ClientIP: header.Get("X-Real-Ip"),
			ForwardedFor: header.Get("X-Forwarded-For"), UserAgent: string(header.UserAgent()),
			ContentType: string(header.ContentType()), Body: append([]byte(nil), body...),
		})
		switch {
		case !known:
			c.SetStatusCode(404)
		case !writer.Put(event):
			c.Data(503, "text/plain", busy)
		default:
			c.Data(200, "text/plain", ok)
		}
	}
}
