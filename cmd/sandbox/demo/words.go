// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"strconv"
	"time"
)

// hoursPerMonth is the length of a month on a VPSie bill.
const hoursPerMonth = 720

// moneyUnits is how many of the smallest sums that money writes make a dollar.
const moneyUnits = 10_000

func money(amount float64) string { return fmt.Sprintf("$%.4f", amount) }

func monthly(perHour float64) string { return fmt.Sprintf("$%.2f", perHour*hoursPerMonth) }

// cores writes thousandths of a core as cores.
func cores(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

// bytesText writes an amount of memory in the unit that people say it in.
func bytesText(amount int64) string {
	const mebi, gibi = 1 << 20, 1 << 30
	if amount < gibi {
		return fmt.Sprintf("%d MiB", amount/mebi)
	}
	return strconv.FormatFloat(float64(amount*100/gibi)/100, 'f', -1, 64) + " GiB"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// plural writes "1 machine" and "2 machines".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// are is the verb for so many.
func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", (part*100+whole/2)/whole)
}
