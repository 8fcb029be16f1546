/* What the compiler is asked to check about a function. */
#ifndef COMMON_BASE_COMPILER_H
#define COMMON_BASE_COMPILER_H

/* Ignoring the result is an error of the caller's. */
#define MUSTCHECK __attribute__((warn_unused_result))
/*
 * Parameter number `fmt` is a printf() format, its arguments start at number `args` (0: va_list).
 */
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
