package main

import (
	"strings"
	"testing"
)

const twoSpans = `{"resourceSpans":[{"scopeSpans":[{"spans":[
 {"traceId":"aaaaaaaaaa","spanId":"1","name":"POST /dns-query","startTimeUnixNano":"1000000","endTimeUnixNano":"4000000",
  "attributes":[{"key":"weir.stream.id","value":{"intValue":"1"}},{"key":"dns.question.name","value":{"stringValue":"www.harbour.demo."}}],
  "events":[{"name":"waiter.attached","timeUnixNano":"1500000"}]},
 {"traceId":"aaaaaaaaaa","spanId":"2","parentSpanId":"1","name":"mesh.state","startTimeUnixNano":"2000000","endTimeUnixNano":"3000000"}]}]}]}`

func TestTreeHasEventsAndChildrenByTime(t *testing.T) {
	tree, err := traceTree(strings.ReplaceAll(twoSpans, "\n", ""), "www.harbour.demo")
	if err != nil {
		t.Fatal(err)
	}
	want := "POST /dns-query  3.00 ms  stream.id=1 question.name=www.harbour.demo.\n" +
		"├─ · waiter.attached at 0.50 ms\n" +
		"└─ mesh.state  1.00 ms"
	if tree != want {
		t.Errorf("got\n%s\nwant\n%s", tree, want)
	}
}

func TestTreeSaysWhenTheQuestionIsMissing(t *testing.T) {
	_, err := traceTree(strings.ReplaceAll(twoSpans, "\n", ""), "other.demo")
	if err == nil || !strings.Contains(err.Error(), "2 spans arrived, none of a stream that asked for other.demo") {
		t.Error(err)
	}
}
