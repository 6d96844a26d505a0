//! Python as templates see it: values, operators, methods and formatting.
