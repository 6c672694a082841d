// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"strconv"
	"strings"
)

// sizeText writes cpu and memory as people say them: "3.1 cpu, 5.2 GiB".
func sizeText(cpuMilli, memoryBytes int64) string {
	return amountText(cpu, cpuMilli) + ", " + amountText(memory, memoryBytes)
}

// amountText writes an amount of one packed resource.
func amountText(resource int, amount int64) string {
	switch resource {
	case cpu:
		return decimal(float64(amount)/1000) + " cpu"
	case podSlots:
		return fmt.Sprintf("%d pods", amount)
	case disk:
		return bytesText(amount) + " of disk"
	}
	return bytesText(amount)
}

// needText writes an amount so that nobody mistakes memory for disk.
func needText(resource int, amount int64) string {
	if resource == memory {
		return amountText(resource, amount) + " of memory"
	}
	return amountText(resource, amount)
}

func bytesText(amount int64) string {
	if amount < gibibyte {
		return decimal(float64(amount)/mebibyte) + " MiB"
	}
	return decimal(float64(amount)/gibibyte) + " GiB"
}

// decimal writes up to two decimal places.
func decimal(x float64) string {
	text := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
