// Package clicklog is what the Go contenders share: a callback becomes an event, events become a file.
package clicklog

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// PublicBase is what the platforms signed over: scheme and host of the tracking URL.
const PublicBase = "https://trk.example.com"

// Source is one ad platform's feed: its name, its kind, the parameters with the click's id and time, and the
// key of its signatures where it signs.
type Source struct {
	Name, Type, ClickID, Time, SignKey string
}

// Sources are the same feeds that the suite configures in ingestd, by path.
var Sources = map[string]Source{
	"/c/ocean":    {"ocean", "click", "callback_param", "ts", ""},
	"/c/kuaishou": {"kuaishou", "click", "callback", "ts", ""},
	"/c/gdt":      {"gdt", "click", "click_id", "click_time", ""},
	"/c/baidu":    {"baidu", "click", "click_id", "ts", "test-akey-0001="},
	"/c/weibo":    {"weibo", "click", "IMP", "clicktime", ""},
	"/c/bili":     {"bili", "click", "trackid", "click_ts", ""},
	"/c/oppo":     {"oppo", "click", "adid", "timestamp", ""},
	"/c/xiaomi":   {"xiaomi", "click", "callback", "click_time", "test-sign-key"},
	"/c/vivo":     {"vivo", "click", "requestId", "clickTime", ""},
	"/p/adjust":   {"adjust", "postback", "click_id", "click_time", ""},
}

// Event is one line of the file: the fields of ingestd's event schema, version 1.
type Event struct {
	V            int             `json:"v"`
	ID           string          `json:"id"`
	Source       string          `json:"source"`
	Route        string          `json:"route"`
	Type         string          `json:"type"`
	ReceivedAt   int64           `json:"received_at"`
	EventAt      *int64          `json:"event_at"`
	Method       string          `json:"method"`
	Path         string          `json:"path"`
	Params       map[string]any  `json:"params"`
	Raw          string          `json:"raw,omitempty"`
	Body         json.RawMessage `json:"body,omitempty"`
	ContentType  string          `json:"content_type,omitempty"`
	ClientIP     string          `json:"client_ip"`
	ForwardedFor string          `json:"forwarded_for"`
	UserAgent    string          `json:"user_agent"`
	DupKey       string          `json:"dup_key"`
	Signature    string          `json:"signature"`
	Flags        []string        `json:"flags"`
	Node         string          `json:"node"`
}

// Request is what a contender's HTTP library hands over.
type Request struct {
	Method, URI, ClientIP, ForwardedFor, UserAgent, ContentType string
	Body                                                        []byte
}

// Build decodes a request completely; false means that no source takes its path.
func Build(r Request) (Event, bool) {
	path, query, _ := strings.Cut(r.URI, "?")
	source, route, ok := find(path)
	if !ok {
		return Event{}, false
	}
	event := Event{
		V: 1, ID: uuid.Must(uuid.NewV7()).String(), Source: source.Name, Route: route, Type: source.Type,
		ReceivedAt: time.Now().UnixMilli(), Method: r.Method, Path: path, ClientIP: r.ClientIP,
		ForwardedFor: r.ForwardedFor, UserAgent: r.UserAgent, Signature: "none", Flags: []string{}, Node: "bench",
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		event.Flags = append(event.Flags, "bad_percent")
		event.Raw = query
	}
	event.Params = make(map[string]any, len(values))
	for name, all := range values {
		if isMacro(all[0]) {
			event.Flags = append(event.Flags, "macro:"+name)
		}
		if len(all) == 1 {
			event.Params[name] = all[0]
		} else {
			event.Params[name] = all
		}
	}
	clickID, eventTime := values.Get(source.ClickID), values.Get(source.Time)
	if len(r.Body) > 0 {
		clickID, eventTime = addBody(&event, source, r)
	}
	event.EventAt = millis(eventTime)
	event.DupKey = dupKey(source, clickID, query)
	if source.SignKey != "" {
		event.Raw = query
		event.Signature = verify(r.URI, source.SignKey)
	}
	return event, true
}

func find(path string) (Source, string, bool) {
	if source, ok := Sources[path]; ok {
		return source, "", true
	}
	cut := strings.LastIndexByte(path, '/')
	if cut <= 0 {
		return Source{}, "", false
	}
	source, ok := Sources[path[:cut]]
	return source, path[cut+1:], ok
}

// addBody keeps a JSON body as it came and finds the click id and time in its top level.
func addBody(event *Event, source Source, r Request) (clickID, eventTime string) {
	var fields map[string]json.RawMessage
	event.ContentType = r.ContentType
	if err := json.Unmarshal(r.Body, &fields); err != nil {
		event.Flags = append(event.Flags, "bad_json")
		event.Body, _ = json.Marshal(string(r.Body))
		return "", ""
	}
	event.Body = json.RawMessage(r.Body)
	return strings.Trim(string(fields[source.ClickID]), `"`), strings.Trim(string(fields[source.Time]), `"`)
}

func isMacro(value string) bool {
	return len(value) > 4 && strings.HasPrefix(value, "__") && strings.HasSuffix(value, "__")
}

// millis reads a platform's time, given in seconds or milliseconds.
func millis(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	if n < 100_000_000_000 {
		n *= 1000
	}
	return &n
}

func dupKey(source Source, clickID, query string) string {
	sum := fnv.New128a()
	sum.Write([]byte(source.Name))
	sum.Write([]byte(source.Type))
	if clickID != "" {
		sum.Write([]byte(clickID))
	} else {
		sum.Write([]byte(query))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// verify checks md5(URL up to &sign= + key), the platforms' rule, over the bytes as received.
func verify(uri, key string) string {
	signed, given, found := strings.Cut(uri, "&sign=")
	if !found {
		return "missing"
	}
	sum := md5.Sum([]byte(PublicBase + signed + key))
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(given)) == 1 {
		return "ok"
	}
	return "bad"
}
