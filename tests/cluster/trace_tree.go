package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parts of OTLP JSON that the tree shows.
type (
	otlpValue struct {
		String *string          `json:"stringValue"`
		Int    *json.RawMessage `json:"intValue"`
		Bool   *bool            `json:"boolValue"`
		Double *float64         `json:"doubleValue"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpEvent struct {
		Time       string          `json:"timeUnixNano"`
		Name       string          `json:"name"`
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpLink struct {
		Trace string `json:"traceId"`
		Span  string `json:"spanId"`
	}
	otlpSpan struct {
		Trace      string          `json:"traceId"`
		Span       string          `json:"spanId"`
		Parent     string          `json:"parentSpanId"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes"`
		Events     []otlpEvent     `json:"events"`
		Links      []otlpLink      `json:"links"`
	}
	otlpBatch struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []otlpSpan `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	}
)

// traceTree draws the newest trace whose stream asked for a name. It fails while the trace is not whole:
// without a stream, or without the question's state and its upstream queries.
func traceTree(lines, name string) (string, error) {
	spans, err := readSpans(lines)
	if err != nil {
		return "", err
	}
	root := -1
	for i, span := range spans {
		if isStream(span) && span.attribute("dns.question.name") != "" && sameName(span.attribute("dns.question.name"), name) {
			if root < 0 || spans[root].Start < span.Start {
				root = i
			}
		}
	}
	if root < 0 {
		return "", fmt.Errorf("%d spans arrived, none of a stream that asked for %s", len(spans), name)
	}
	tree := &treeDrawing{spans: spans, origin: spans[root].start()}
	tree.draw(spans[root], "", "")
	return strings.TrimRight(tree.text.String(), "\n"), nil
}

func isStream(span otlpSpan) bool { return span.attribute("weir.stream.id") != "" }

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func readSpans(lines string) ([]otlpSpan, error) {
	var spans []otlpSpan
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var batch otlpBatch
		if err := json.Unmarshal([]byte(line), &batch); err != nil {
			return nil, err
		}
		for _, resource := range batch.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}
	return spans, nil
}

type treeDrawing struct {
	spans  []otlpSpan
	origin time.Time
	text   strings.Builder
}

// draw writes one span, then its events and its children by time.
func (t *treeDrawing) draw(span otlpSpan, head, tail string) {
	fmt.Fprintf(&t.text, "%s%s  %s%s\n", head, span.Name, duration(span.end().Sub(span.start())), attributes(span.Attributes))
	type branch struct {
		at   time.Time
		draw func(head, tail string)
	}
	var branches []branch
	for _, event := range span.Events {
		branches = append(branches, branch{instant(event.Time), func(head, _ string) {
			fmt.Fprintf(&t.text, "%s· %s at %s%s\n", head, event.Name, duration(instant(event.Time).Sub(t.origin)), attributes(event.Attributes))
		}})
	}
	for _, child := range t.spans {
		if child.Trace == span.Trace && child.Parent == span.Span {
			branches = append(branches, branch{child.start(), func(head, tail string) { t.draw(child, head, tail) }})
		}
	}
	for _, link := range span.Links {
		for _, other := range t.spans {
			// A link to a span that the tree already holds as parent or child says nothing new.
			if other.Span == link.Span && other.Span != span.Parent && other.Parent != span.Span {
				branches = append(branches, branch{span.end(), func(head, _ string) {
					fmt.Fprintf(&t.text, "%s↔ linked to %s of trace %s\n", head, other.Name, other.Trace[:8])
				}})
			}
		}
	}
	slices.SortStableFunc(branches, func(a, b branch) int { return a.at.Compare(b.at) })
	for i, b := range branches {
		if i == len(branches)-1 {
			b.draw(tail+"└─ ", tail+"   ")
		} else {
			b.draw(tail+"├─ ", tail+"│  ")
		}
	}
}

// hidden attributes say what the tree's shape, or every span of it, says already.
var hidden = []string{
	"network.protocol.version", "http.request.method", "url.path", "url.scheme", "http.route",
	"network.protocol.name", "server.port", "thread.id", "thread.name", "busy_ns", "idle_ns", "target",
}

func attributes(list []otlpAttribute) string {
	var shown []string
	for _, a := range list {
		if !slices.Contains(hidden, a.Key) && !strings.HasPrefix(a.Key, "code.") && a.Value.text() != "" {
			key := strings.TrimPrefix(strings.TrimPrefix(a.Key, "weir."), "dns.")
			shown = append(shown, key+"="+a.Value.text())
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return "  " + strings.Join(shown, " ")
}

func (s otlpSpan) attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.text()
		}
	}
	return ""
}

func (s otlpSpan) start() time.Time { return instant(s.Start) }
func (s otlpSpan) end() time.Time   { return instant(s.End) }

func (v otlpValue) text() string {
	switch {
	case v.String != nil:
		return *v.String
	case v.Int != nil:
		return strings.Trim(string(*v.Int), `"`)
	case v.Bool != nil:
		return strconv.FormatBool(*v.Bool)
	case v.Double != nil:
		return strconv.FormatFloat(*v.Double, 'g', 6, 64)
	}
	return ""
}

func instant(nanoseconds string) time.Time {
	value, err := strconv.ParseInt(nanoseconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, value)
}

func duration(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
