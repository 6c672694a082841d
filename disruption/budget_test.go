// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	result, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func window(nodes, schedule, duration, zone string) v1alpha1.Budget {
	budget := v1alpha1.Budget{Nodes: nodes, Schedule: &schedule}
	if d, err := time.ParseDuration(duration); err == nil {
		budget.Duration = &metav1.Duration{Duration: d}
	}
	if zone != "" {
		budget.TimeZone = &zone
	}
	return budget
}

func TestAllowed(t *testing.T) {
	cases := map[string]struct {
		budgets        []v1alpha1.Budget
		reason         v1alpha1.DisruptionReason
		total, leaving int
		want           int
	}{
		"without budgets a tenth, rounded up, may leave":         {total: 11, want: 2},
		"without budgets one of one may leave":                   {total: 1, want: 1},
		"without budgets none of none":                           {total: 0, want: 0},
		"those that are leaving count":                           {total: 20, leaving: 1, want: 1},
		"more leaving than allowed is none, not less":            {total: 20, leaving: 5, want: 0},
		"a number is a number":                                   {budgets: []v1alpha1.Budget{{Nodes: "3"}}, total: 100, want: 3},
		"0 and 0% are nothing":                                   {budgets: []v1alpha1.Budget{{Nodes: "0%"}}, total: 100, want: 0},
		"100% are all":                                           {budgets: []v1alpha1.Budget{{Nodes: "100%"}}, total: 7, want: 7},
		"a share is rounded up":                                  {budgets: []v1alpha1.Budget{{Nodes: "34%"}}, total: 3, want: 2},
		"an exact share is not rounded":                          {budgets: []v1alpha1.Budget{{Nodes: "50%"}}, total: 4, want: 2},
		"the smallest counts, first":                             {budgets: []v1alpha1.Budget{{Nodes: "2"}, {Nodes: "50%"}}, total: 10, want: 2},
		"the smallest counts, last":                              {budgets: []v1alpha1.Budget{{Nodes: "50%"}, {Nodes: "2"}}, total: 10, want: 2},
		"a budget for the reason counts":                         {budgets: []v1alpha1.Budget{{Nodes: "5", Reasons: []v1alpha1.DisruptionReason{"Drifted", "Empty"}}}, total: 10, want: 5},
		"where all budgets are for other reasons the default is": {budgets: []v1alpha1.Budget{{Nodes: "5", Reasons: []v1alpha1.DisruptionReason{"Drifted"}}}, total: 10, want: 1},
		"an open window counts":                                  {budgets: []v1alpha1.Budget{window("0", "0 9 * * *", "8h", "")}, total: 10, want: 0},
		"where all windows are closed the default is":            {budgets: []v1alpha1.Budget{window("100%", "0 9 * * *", "2h", "")}, total: 20, want: 2},
		"a closed window does not count beside an open one":      {budgets: []v1alpha1.Budget{window("0", "0 9 * * *", "2h", ""), {Nodes: "6"}}, total: 20, want: 6},
	}
	now := at(t, "2026-11-22T12:00:00Z")
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Allowed(tc.budgets, v1alpha1.ReasonEmpty, now, tc.total, tc.leaving)
			if got.Unread != "" {
				t.Fatal(got.Unread)
			}
			if diff := cmp.Diff(tc.want, got.Nodes); diff != "" {
				t.Errorf("nodes by %s (-want +got):\n%s", got.Budget, diff)
			}
		})
	}
}

func TestABudgetThatCannotBeReadAllowsNothing(t *testing.T) {
	cases := map[string]struct {
		budget v1alpha1.Budget
		want   string
	}{
		"schedule":                   {window("5", "61 * * * *", "1h", ""), `spec.disruption.budgets[1].schedule: "61 * * * *" cannot be read`},
		"schedule with a zone":       {window("5", "TZ=Europe/Berlin", "1h", ""), `spec.disruption.budgets[1].schedule: "TZ=Europe/Berlin" must not name a time zone`},
		"time zone":                  {window("5", "0 9 * * *", "1h", "Europe/Atlantis"), `spec.disruption.budgets[1].timeZone: "Europe/Atlantis" is not an IANA time zone`},
		"the machine's own zone":     {window("5", "0 9 * * *", "1h", "Local"), `spec.disruption.budgets[1].timeZone: "Local" is not an IANA time zone`},
		"no duration":                {window("5", "0 9 * * *", "", ""), `spec.disruption.budgets[1].duration: must be given and greater than 0`},
		"negative duration":          {window("5", "0 9 * * *", "-1h", ""), `spec.disruption.budgets[1].duration: must be given and greater than 0`},
		"nodes":                      {v1alpha1.Budget{Nodes: "some"}, `spec.disruption.budgets[1].nodes: "some" is neither a number nor a share`},
		"negative nodes":             {v1alpha1.Budget{Nodes: "-1"}, `spec.disruption.budgets[1].nodes: "-1" is neither a number nor a share`},
		"a closed window, even then": {window("5", "0 9 31 2 x", "1h", ""), `spec.disruption.budgets[1].schedule: "0 9 31 2 x" cannot be read`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Allowed([]v1alpha1.Budget{{Nodes: "7"}, tc.budget}, v1alpha1.ReasonEmpty, at(t, "2026-11-22T12:00:00Z"), 10, 0)
			if got.Nodes != 0 || !strings.HasPrefix(got.Unread, tc.want) {
				t.Errorf("got %d nodes, unread %q, want none and %q", got.Nodes, got.Unread, tc.want)
			}
		})
	}
	t.Run("a budget for other reasons hurts nobody", func(t *testing.T) {
		broken := window("5", "nonsense", "1h", "")
		broken.Reasons = []v1alpha1.DisruptionReason{v1alpha1.ReasonDrifted}
		if got := Allowed([]v1alpha1.Budget{broken}, v1alpha1.ReasonEmpty, time.Time{}, 10, 0); got.Nodes != 1 || got.Unread != "" {
			t.Errorf("got %+v", got)
		}
	})
}

// Europe/Berlin: at 2026-03-29T01:00:00Z clocks go from 02:00 to 03:00, at 2026-10-25T01:00:00Z from 03:00 to 02:00.
func TestWindows(t *testing.T) {
	cases := map[string]struct {
		schedule, duration, zone string
		open, closed             []string
	}{
		"in UTC, without a zone": {"0 9 * * *", "8h", "",
			[]string{"2026-11-22T09:00:00Z", "2026-11-22T16:59:59Z"},
			[]string{"2026-11-22T08:59:59Z", "2026-11-22T17:00:00Z"}},
		"in winter": {"0 9 * * *", "8h", "Europe/Berlin",
			[]string{"2026-01-15T08:00:00Z", "2026-01-15T15:59:59Z"},
			[]string{"2026-01-15T07:59:59Z", "2026-01-15T16:00:00Z"}},
		"in summer": {"0 9 * * *", "8h", "Europe/Berlin",
			[]string{"2026-07-15T07:00:00Z", "2026-07-15T14:59:59Z"},
			[]string{"2026-07-15T06:59:59Z", "2026-07-15T15:00:00Z"}},
		"over midnight, on working days only": {"0 22 * * 1-5", "8h", "Europe/Berlin",
			[]string{"2026-11-20T21:00:00Z", "2026-11-21T04:59:59Z"}, // Friday night
			[]string{"2026-11-21T05:00:00Z", "2026-11-21T21:30:00Z", "2026-11-22T21:30:00Z"}},
		"over the lost hour the duration is real time": {"0 22 * * *", "8h", "Europe/Berlin",
			[]string{"2026-03-28T21:00:00Z", "2026-03-29T04:59:59Z"}, // until 07:00 in summer time
			[]string{"2026-03-28T20:59:59Z", "2026-03-29T05:00:00Z"}},
		"a start in the lost hour opens at the jump": {"30 2 * * *", "1h", "Europe/Berlin",
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z"},
			[]string{"2026-03-29T00:59:59Z", "2026-03-29T02:00:00Z"}},
		"a start at the jump itself": {"0 2 * * *", "1h", "Europe/Berlin",
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z"},
			[]string{"2026-03-29T00:59:59Z", "2026-03-29T02:00:00Z"}},
		"a start in the doubled hour opens both times the clock shows it": {"30 2 * * *", "30m", "Europe/Berlin",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:30:00Z", "2026-10-25T01:59:59Z"},
			[]string{"2026-10-25T00:29:59Z", "2026-10-25T01:00:00Z", "2026-10-25T01:29:59Z", "2026-10-25T02:00:00Z"}},
		"the day after the clocks went back": {"30 2 * * *", "30m", "Europe/Berlin",
			[]string{"2026-10-26T01:30:00Z"}, []string{"2026-10-26T00:30:00Z", "2026-10-26T02:00:00Z"}},
		"a zone on the other side, clocks forward": {"30 2 * * *", "1h", "America/New_York",
			[]string{"2026-03-08T07:00:00Z", "2026-03-08T07:59:59Z"},
			[]string{"2026-03-08T06:59:59Z", "2026-03-08T08:00:00Z"}},
		"a zone on the other side, clocks back": {"30 1 * * *", "30m", "America/New_York",
			[]string{"2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"}, []string{"2026-11-01T05:29:59Z", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"}},
		"a name instead of fields": {"@daily", "1h", "Asia/Kolkata",
			[]string{"2026-11-21T18:30:00Z"}, []string{"2026-11-21T18:29:59Z", "2026-11-21T19:30:00Z"}},
		"every minute is always": {"* * * * *", "1m", "Europe/Berlin",
			[]string{"2026-03-29T01:00:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z", "2026-10-25T01:59:59Z"}, nil},
		"a day that never comes":           {"0 0 30 2 *", "24h", "", nil, []string{"2026-03-02T00:00:00Z"}},
		"longer than its period is always": {"@weekly", "200h", "", []string{"2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z"}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			budget := window("5", tc.schedule, tc.duration, tc.zone)
			for want, moments := range map[bool][]string{true: tc.open, false: tc.closed} {
				for _, moment := range moments {
					if got, err := budget.InForce(at(t, moment)); err != nil || got != want {
						t.Errorf("at %s: in force %t, error %v; want %t", moment, got, err, want)
					}
				}
			}
		})
	}
}

func FuzzAllowed(f *testing.F) {
	f.Add("10%", "0 9 * * *", "Europe/Berlin", int64(time.Hour), int64(1774746000), 7)
	f.Add("3", "@daily", "", int64(-1), int64(0), 0)
	f.Add("x", "TZ=", "Local", int64(1), int64(1<<33), 5000)
	f.Fuzz(func(t *testing.T, nodes, schedule, zone string, duration, unix int64, total int) {
		if total < 0 || total > 5000 || duration > int64(366*24*time.Hour) || unix < 0 || unix > 1<<33 {
			t.Skip()
		}
		budget := v1alpha1.Budget{Nodes: nodes, Schedule: &schedule, TimeZone: &zone, Duration: new(metav1.Duration{Duration: time.Duration(duration)})}
		got := Allowed([]v1alpha1.Budget{budget}, v1alpha1.ReasonEmpty, time.Unix(unix, 0), total, 0)
		if got.Nodes < 0 || got.Unread != "" && got.Nodes != 0 {
			t.Errorf("allowed %+v", got)
		}
	})
}
